//! Tests share an emulator, and must not see each other in it.

use crate::account::Account;
use crate::fault::Fault;
use crate::message::Message;
use crate::proxy::forward;

const DESCRIBE: &str = r#"{"TableName":"things"}"#;

#[test]
fn accounts_see_neither_things_nor_faults_nor_calls_of_each_other() {
    let (mine, yours) = (Account::new(), Account::new());
    mine.make_table();
    assert_eq!(yours.target("DynamoDB_20120810.DescribeTable", DESCRIBE).status(), Some(400));
    yours.make_table();
    let denied = mine.on("DynamoDB.*").answer(Fault::AccessDenied);
    assert_eq!(mine.target("DynamoDB_20120810.DescribeTable", DESCRIBE).status(), Some(400));
    let arn = &yours.ask("DynamoDB_20120810.DescribeTable", DESCRIBE)["Table"]["TableArn"];
    assert!(arn.as_str().unwrap().contains(yours.id()), "{arn}");
    assert_eq!((denied.fired(), mine.calls().len(), yours.calls().len()), (1, 2, 3));
}

#[test]
fn an_account_is_what_its_environment_says() {
    let account = Account::new();
    let environment = account.environment();
    let value = |name: &str| environment.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    assert_eq!(value("AWS_ENDPOINT_URL"), account.server().url());
    assert_eq!(value("AWS_ACCESS_KEY_ID"), account.id());
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let request = account.request("POST /", &form, b"Action=GetCallerIdentity&Version=2011-06-15");
    let through = account.send(&request).unwrap();
    assert!(through.text().contains(&format!("<Account>{}</Account>", account.id())), "{}", through.text());
    // Past the proxy, the same is said and nothing is noted.
    let past = forward(account.server().address(), &request).unwrap();
    assert_eq!(past.status(), Some(200));
    assert_eq!(account.count("STS.GetCallerIdentity"), 1);
    let health = Message::new("GET /_ministack/health HTTP/1.1", &[("host", "localhost")], b"");
    assert_eq!(account.send(&health).unwrap().status(), Some(200));
}
