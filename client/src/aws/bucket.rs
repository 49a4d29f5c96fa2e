//! The bucket that an installation's code comes from.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Delete, ObjectIdentifier,
    PublicAccessBlockConfiguration,
};

use super::connection::Connection;
use super::error::{AwsError, NOT_FOUND, failed};

/// A bucket. Every call says whose it must be: anyone may have taken its name.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    client: Client,
    name: String,
    account: String,
    region: String,
}

impl Bucket {
    /// The bucket `name` of `account`; nothing is asked yet.
    pub(crate) fn new(connection: &Connection, name: String, account: &str) -> Self {
        let client = Client::new(connection.config());
        Self { client, name, account: account.to_owned(), region: connection.region().to_owned() }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is there, and this account's.
    ///
    /// # Errors
    /// When it is another account's, or may not be looked at.
    pub(crate) async fn exists(&self) -> Result<bool, AwsError> {
        let head = self.client.head_bucket().bucket(&self.name).expected_bucket_owner(&self.account);
        let doing = format!("look at the bucket {} (another account's?)", self.name);
        match head.send().await.map_err(failed("s3:ListBucket", doing)) {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes it, private; one that this account has is as good.
    ///
    /// # Errors
    /// When it cannot be made, or its name is taken.
    pub(crate) async fn make(&self) -> Result<(), AwsError> {
        let doing = format!("make the bucket {}", self.name);
        // The oldest region is no constraint.
        let place = (self.region != "us-east-1").then(|| {
            let region = BucketLocationConstraint::from(self.region.as_str());
            CreateBucketConfiguration::builder().location_constraint(region).build()
        });
        let create = self.client.create_bucket().bucket(&self.name);
        let created = create.set_create_bucket_configuration(place).send().await;
        match created.map_err(failed("s3:CreateBucket", &doing)) {
            Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => {}
            other => {
                other?;
            }
        }
        let block = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .block_public_policy(true)
            .ignore_public_acls(true)
            .restrict_public_buckets(true)
            .build();
        let put = self.client.put_public_access_block().bucket(&self.name);
        let put = put.expected_bucket_owner(&self.account).public_access_block_configuration(block);
        let doing = format!("keep the bucket {} private", self.name);
        put.send().await.map_err(failed("s3:PutBucketPublicAccessBlock", doing))?;
        Ok(())
    }

    /// Whether it has an object. What may not be asked counts as no.
    pub(crate) async fn has(&self, key: &str) -> bool {
        let head = self.client.head_object().bucket(&self.name).key(key);
        head.expected_bucket_owner(&self.account).send().await.is_ok()
    }

    /// Puts an object.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn put(&self, key: &str, content: Vec<u8>) -> Result<(), AwsError> {
        let put = self.client.put_object().bucket(&self.name).key(key);
        let put = put.expected_bucket_owner(&self.account).body(ByteStream::from(content));
        let doing = format!("upload {key} to the bucket {}", self.name);
        put.send().await.map_err(failed("s3:PutObject", doing))?;
        Ok(())
    }

    /// Deletes every object whose key starts with `prefix`, but for those to be
    /// kept: fewer than a page of a list has, which is 1,000.
    ///
    /// # Errors
    /// When they cannot be listed or deleted.
    pub(crate) async fn empty(&self, prefix: &str, kept: &[&str]) -> Result<(), AwsError> {
        loop {
            // Always the first page: the one before it is gone.
            let list = self.client.list_objects_v2().bucket(&self.name).prefix(prefix);
            let list = list.expected_bucket_owner(&self.account).send().await;
            let doing = format!("list the bucket {}", self.name);
            let list = list.map_err(failed("s3:ListBucket", doing))?;
            let keys = list.contents().iter().filter_map(|object| object.key());
            let keys = keys.filter(|key| !kept.contains(key));
            let objects: Vec<_> =
                keys.filter_map(|key| ObjectIdentifier::builder().key(key).build().ok()).collect();
            if objects.is_empty() {
                return Ok(());
            }
            let Ok(delete) = Delete::builder().set_objects(Some(objects)).quiet(true).build() else {
                return Ok(());
            };
            let request = self.client.delete_objects().bucket(&self.name).delete(delete);
            let doing = format!("empty the bucket {}", self.name);
            let deleted = request.expected_bucket_owner(&self.account).send().await;
            let deleted = deleted.map_err(failed("s3:DeleteObject", &doing))?;
            // Each object may be refused by itself.
            if let Some(refused) = deleted.errors().first() {
                let (code, message) = (refused.code(), refused.message().unwrap_or_default());
                return Err(AwsError::said("s3:DeleteObject", doing, code, message));
            }
        }
    }

    /// Deletes it; it must be empty. One that is not there is as good.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub(crate) async fn delete(&self) -> Result<(), AwsError> {
        let delete = self.client.delete_bucket().bucket(&self.name).expected_bucket_owner(&self.account);
        let doing = format!("delete the bucket {}", self.name);
        match delete.send().await.map_err(failed("s3:DeleteBucket", doing)) {
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_missing(error: &AwsError) -> bool {
    matches!(error.code(), Some(NOT_FOUND | "NoSuchBucket"))
}
