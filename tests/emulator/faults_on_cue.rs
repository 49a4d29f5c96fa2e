//! The proxy before the real emulator: what each fault does to the call, and
//! what it leaves behind.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::account::Account;
use crate::clock;
use crate::fault::Fault;
use crate::message::Message;

const PUT_ONCE: &str =
    r#"{"TableName":"things","Item":{"pk":{"S":"a"}},"ConditionExpression":"attribute_not_exists(pk)"}"#;

/// An account with a table.
fn with_table() -> Account<'static> {
    let account = Account::new();
    account.make_table();
    account
}

/// How many things are in the table.
fn things(account: &Account<'_>) -> u64 {
    let scanned = account.ask("DynamoDB_20120810.Scan", r#"{"TableName":"things","Select":"COUNT"}"#);
    scanned["Count"].as_u64().unwrap()
}

fn put_once(account: &Account<'_>) -> Message {
    account.target("DynamoDB_20120810.PutItem", PUT_ONCE)
}

#[test]
fn an_error_has_the_words_of_its_service() {
    let account = Account::new();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let target = [("x-amz-target", "DynamoDB_20120810.GetItem")];
    let requests = [
        account.request("GET /2015-03-31/functions/f", &[], b""),
        account.request("GET /schedules/s", &[], b""),
        account.request("POST /", &target, b"{}"),
        account.request("POST /", &form, b"Action=GetCallerIdentity&Version=2011-06-15"),
        account.request("GET /bucket/key", &[], b""),
    ];
    let answers = |fault| {
        let services = ["Lambda.*", "Scheduler.*", "DynamoDB.*", "STS.*", "S3.*"];
        let _rules = services.map(|service| account.on(service).answer(fault));
        requests.each_ref().map(|request| {
            let answer = account.send(request).unwrap();
            let named = answer.header("x-amzn-errortype").map(str::to_owned);
            let body = answer.text();
            let between = |start: &str, end: &str| {
                body.split_once(start)
                    .and_then(|(_, rest)| rest.split_once(end))
                    .map(|(name, _)| name.to_owned())
            };
            let named = named.or_else(|| between("#", "\"")).or_else(|| between("<Code>", "</Code>"));
            (answer.status().unwrap(), named.unwrap_or_default())
        })
    };
    let expect = |all: [(u16, &str); 5]| all.map(|(status, name)| (status, name.to_owned()));
    assert_eq!(
        answers(Fault::Throttled),
        expect([
            (429, "TooManyRequestsException"),
            (429, "ThrottlingException"),
            (400, "ThrottlingException"),
            (400, "Throttling"),
            (503, "SlowDown"),
        ])
    );
    assert_eq!(
        answers(Fault::AccessDenied),
        expect([
            (403, "AccessDeniedException"),
            (403, "AccessDeniedException"),
            (400, "AccessDeniedException"),
            (403, "AccessDenied"),
            (403, "AccessDenied"),
        ])
    );
    assert_eq!(
        answers(Fault::ExpiredToken),
        expect([
            (403, "ExpiredTokenException"),
            (403, "ExpiredTokenException"),
            (400, "ExpiredTokenException"),
            (403, "ExpiredToken"),
            (400, "ExpiredToken"),
        ])
    );
    assert_eq!(
        answers(Fault::Internal),
        expect([
            (500, "ServiceException"),
            (500, "InternalServerException"),
            (500, "InternalServerError"),
            (500, "InternalFailure"),
            (500, "InternalError"),
        ])
    );
    assert_eq!(answers(Fault::ThroughputExceeded)[2].1, "ProvisionedThroughputExceededException");
    assert_eq!(
        answers(Fault::Other(409, "ResourceConflictException"))[0],
        expect([(409, "ResourceConflictException"); 5])[0]
    );
    // Without a rule, the emulator itself answers.
    let own = account.send(&requests[0]).unwrap();
    assert_eq!(
        (own.status(), own.header("x-amzn-errortype")),
        (Some(404), Some("ResourceNotFoundException"))
    );
}

#[test]
fn a_fault_strikes_those_it_is_meant_for_and_as_often_as_told() {
    let account = with_table();
    let put = |key: &str| {
        let body = format!(r#"{{"TableName":"things","Item":{{"pk":{{"S":"{key}"}}}}}}"#);
        account.target("DynamoDB_20120810.PutItem", &body).status().unwrap()
    };
    let second_and_third = account.on("DynamoDB.PutItem").after(1).times(2).answer(Fault::ThroughputExceeded);
    assert_eq!([put("a"), put("b"), put("c"), put("d")], [200, 400, 400, 200]);
    assert_eq!(second_and_third.fired(), 2);
    drop(second_and_third);

    let of_one_key = account.on("DynamoDB.PutItem").holding(r#""S":"e""#).answer(Fault::Throttled);
    assert_eq!([put("e"), put("f"), put("e")], [400, 200, 400]);
    assert_eq!(of_one_key.fired(), 2);
    // What never arrived is not there.
    assert_eq!(things(&account), 3);
    drop(of_one_key);
    assert_eq!(put("e"), 200);
    assert_eq!(account.count("DynamoDB.PutItem"), 8, "{:?}", account.calls());
}

#[test]
fn success_can_be_made_up() {
    let account = with_table();
    let left = r#"{"UnprocessedItems":{"things":[{"PutRequest":{"Item":{"pk":{"S":"a"}}}}]}}"#;
    let rule = account.on("DynamoDB.BatchWriteItem").times(1).answer(Fault::Json(left));
    let write = || {
        let body = r#"{"RequestItems":{"things":[{"PutRequest":{"Item":{"pk":{"S":"a"}}}}]}}"#;
        account.ask("DynamoDB_20120810.BatchWriteItem", body)["UnprocessedItems"].clone()
    };
    assert_eq!(write()["things"].as_array().unwrap().len(), 1);
    assert_eq!(things(&account), 0);
    assert_eq!((write(), rule.fired()), (serde_json::json!({}), 1));
    assert_eq!(things(&account), 1);
}

#[test]
fn a_dropped_request_never_arrives() {
    let account = with_table();
    let rule = account.on("DynamoDB.PutItem").drop_request();
    let request =
        account.request("POST /", &[("x-amz-target", "DynamoDB_20120810.PutItem")], PUT_ONCE.as_bytes());
    account.send(&request).unwrap_err();
    assert_eq!((rule.fired(), things(&account)), (1, 0));
}

#[test]
fn a_request_whose_answer_is_dropped_has_taken_effect() {
    let account = with_table();
    let rule = account.on("DynamoDB.PutItem").times(1).drop_answer();
    let request =
        account.request("POST /", &[("x-amz-target", "DynamoDB_20120810.PutItem")], PUT_ONCE.as_bytes());
    account.send(&request).unwrap_err();
    assert_eq!((rule.fired(), things(&account)), (1, 1));
    // Whoever asks again learns it.
    let again = account.send(&request).unwrap();
    assert!(again.text().contains("ConditionalCheckFailedException"), "{}", again.text());
}

#[test]
fn a_repeated_request_arrives_twice() {
    let account = with_table();
    let rule = account.on("DynamoDB.PutItem").repeat();
    let answer = put_once(&account);
    assert!(answer.text().contains("ConditionalCheckFailedException"), "{}", answer.text());
    assert_eq!((rule.fired(), things(&account), account.count("DynamoDB.PutItem")), (1, 1, 1));
}

#[test]
fn a_delayed_request_arrives_late() {
    let account = with_table();
    let by = Duration::from_millis(300);
    let rule = account.on("DynamoDB.PutItem").delay(by);
    let start = clock::now();
    assert_eq!(put_once(&account).status(), Some(200));
    assert!(start.elapsed() >= by, "{:?}", start.elapsed());
    assert_eq!((rule.fired(), things(&account)), (1, 1));
}

#[test]
fn a_connection_serves_many_requests_with_bodies_of_any_kind() {
    let account = with_table();
    let stream = TcpStream::connect(account.server().proxy().address()).unwrap();
    let mut reader = BufReader::new(&stream);
    let target = [("x-amz-target", "DynamoDB_20120810.PutItem")];
    let mut exchange = |bytes: &[u8], request: &Message| {
        (&stream).write_all(bytes).unwrap();
        Message::read_response(&mut reader, request).unwrap()
    };
    // With a length,
    let plain = account.request("POST /", &target, PUT_ONCE.as_bytes());
    let mut bytes = Vec::new();
    plain.write(&mut bytes).unwrap();
    assert_eq!(exchange(&bytes, &plain).status(), Some(200));
    // in chunks,
    let text = String::from_utf8(bytes).unwrap().replace(r#""S":"a""#, r#""S":"b""#);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let head = head.replace(&format!("content-length: {}", body.len()), "transfer-encoding: chunked");
    let (start, end) = body.split_at(10);
    let chunked = format!("{head}\r\n\r\na\r\n{start}\r\n{:x};x=y\r\n{end}\r\n0\r\n\r\n", end.len());
    let answer = exchange(chunked.as_bytes(), &plain);
    assert_eq!(answer.status(), Some(200), "{}", answer.text());
    // and none; and a request that is refused does not end the connection.
    let rule = account.on("Lambda.GetFunction").times(1).answer(Fault::Throttled);
    let get = account.request("GET /2015-03-31/functions/f", &[], b"");
    let mut bytes = Vec::new();
    get.write(&mut bytes).unwrap();
    assert_eq!(exchange(&bytes, &get).status(), Some(429));
    assert_eq!(exchange(&bytes, &get).status(), Some(404));
    assert_eq!((rule.fired(), things(&account)), (1, 2));
    let paths: Vec<_> = account.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/", "/", "/", "/2015-03-31/functions/f", "/2015-03-31/functions/f", "/"]);
}
