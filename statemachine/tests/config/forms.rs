//! Bodies of several parts.

use deathstar_statemachine::config::{Config, RawConfig};
use deathstar_statemachine::secret::{Secret, Values};

use super::schema::fits_schema;
use super::{again, attack, only_request, read, refused};

#[test]
fn a_form_is_what_browsers_send() {
    let text = attack(
        "url: http://h/\nmethod: POST\nmultipart:\n  - { name: 'a \"b\"', value: ü }\n  - { name: photo, file: pictures/cat.jpg, content_type: image/jpeg }\n  - { name: raw, base64: AP8=, filename: x }\n  - { name: json, value: '{}', content_type: application/json }",
    );
    let raw = RawConfig::read(&text).unwrap();
    assert_eq!(raw.body_files().collect::<Vec<_>>(), ["pictures/cat.jpg"]);
    let config = Config::from_text(&text, |file| {
        assert_eq!(file, "pictures/cat.jpg");
        Ok(vec![0xff, 0xd8, 0xff])
    })
    .unwrap();
    let request = &config.attacks()[0].requests[0];
    let expected: &[&[u8]] = &[
        b"--deathstar-0000000000000000\r\n",
        b"content-disposition: form-data; name=\"a %22b%22\"\r\n\r\n\xc3\xbc\r\n",
        b"--deathstar-0000000000000000\r\n",
        b"content-disposition: form-data; name=\"photo\"; filename=\"cat.jpg\"\r\n",
        b"content-type: image/jpeg\r\n\r\n\xff\xd8\xff\r\n",
        b"--deathstar-0000000000000000\r\n",
        b"content-disposition: form-data; name=\"raw\"; filename=\"x\"\r\n",
        b"content-type: application/octet-stream\r\n\r\n\x00\xff\r\n",
        b"--deathstar-0000000000000000\r\n",
        b"content-disposition: form-data; name=\"json\"\r\ncontent-type: application/json\r\n\r\n{}\r\n",
        b"--deathstar-0000000000000000--\r\n",
    ];
    assert_eq!(String::from_utf8_lossy(&request.body), String::from_utf8_lossy(&expected.concat()));
    assert_eq!(request.body, expected.concat());
    let sent = "multipart/form-data; boundary=deathstar-0000000000000000";
    assert_eq!(request.headers, [("content-type".to_owned(), sent.to_owned())]);
    // The name of a file stays when its content travels in its place.
    assert_eq!(again(&config), config);
    assert_eq!(fits_schema(&serde_json::to_value(&config).unwrap()), Ok(()));
}

/// What stands in a file is data, whatever it looks like; only a `value` is written here.
#[test]
fn a_file_of_a_form_is_sent_as_it_is() {
    let text = attack("url: http://h/\nmultipart: [{ name: a, file: b/page.html, content_type: text/html }]");
    let page = "<p>{{ name }} ${env:X} $${y} ${</p>";
    let config = Config::from_text(&text, |_| Ok(page.as_bytes().to_vec())).unwrap();
    assert!(config.references().is_empty());
    let body = String::from_utf8(config.attacks()[0].requests[0].body.clone()).unwrap();
    assert!(body.contains(&format!("content-type: text/html\r\n\r\n{page}\r\n--")), "{body}");
    assert_eq!(again(&config), config);
}

#[test]
fn values_of_a_form_may_refer_to_secrets() {
    let text = attack("url: http://h/\nmultipart: [{ name: a, value: 'so ${env:TOKEN}' }]");
    let config = read(&text);
    let [reference] = config.references() else { panic!("one reference") };
    // A value may even look like what parts a form.
    let secret = "--deathstar-0000000000000000--";
    let values = Values::from_iter([(reference.clone(), Secret::new(secret.to_owned()))]);
    let filled = config.with_values(&values).unwrap();
    let request = &filled.attacks()[0].requests[0];
    let body = String::from_utf8(request.body.clone()).unwrap();
    assert!(body.contains(&format!("\r\n\r\nso {secret}\r\n--deathstar-0000000000000001--\r\n")), "{body}");
    assert!(request.headers[0].1.ends_with("boundary=deathstar-0000000000000001"));
}

#[test]
fn nothing_in_a_form_is_taken_for_what_parts_it() {
    let text = attack(
        "url: http://h/\nmultipart:\n  - { name: a, value: 'so --deathstar-0000000000000000-- far' }\n  - { name: b, value: deathstar-0000000000000001 }",
    );
    let request = only_request(&text);
    assert!(request.body.ends_with(b"--deathstar-0000000000000002--\r\n"), "{request:?}");
    assert_eq!(request.headers[0].1, "multipart/form-data; boundary=deathstar-0000000000000002");
}

#[test]
fn what_is_wrong_with_a_form_is_told() {
    for (fields, told) in [
        ("multipart: []", "line 6: attacks[0].multipart: there is no part; write at least one"),
        (
            "body: a\nmultipart: [{ name: a, value: b }]",
            "line 3: attacks[0]: a request has one body, and this one has body and multipart",
        ),
        (
            "headers: { Content-Type: text/plain }\nmultipart: [{ name: a, value: b }]",
            "line 3: attacks[0]: a multipart body says its content-type itself, with what parts it; remove the header, here or in the attack's headers",
        ),
        (
            "multipart: [{ name: '', value: b }]",
            "line 6: attacks[0].multipart[0].name: a part's name needs at least one character",
        ),
        (
            "multipart: [{ name: a }, { name: b, value: c, base64: AA== }]",
            "line 6: attacks[0].multipart[0]: a part has one content; write value, file or base64\n  line 6: attacks[0].multipart[1]: a part has one content; write value, file or base64",
        ),
        (
            "multipart: [{ name: a, value: b, base64: '%' }, { name: c, base64: '%' }]",
            "line 6: attacks[0].multipart[0]: a part has one content; write value, file or base64\n  line 6: attacks[0].multipart[1].base64: it is no base64: Invalid symbol 37, offset 0.",
        ),
        (
            "multipart: [{ name: '${env:A}', value: b }]",
            "line 6: attacks[0].multipart[0].name: a name holds \"${env:\", and names are shown in reports; references go into header values, URLs and bodies",
        ),
        (
            "multipart: [{ name: a, value: b, content_type: \"a\\nb\" }]",
            "line 6: attacks[0].multipart[0].content_type: the value of header content-type holds '\\n'; only visible ASCII characters, blanks and tabs can be sent",
        ),
        (
            "multipart: [{ name: a, value: b, content_type: ' ' }]",
            "line 6: attacks[0].multipart[0].content_type: a part's content_type needs at least one character",
        ),
        (
            "multipart: [{ name: a, file: gone }]",
            "line 6: attacks[0].multipart[0].file: body file \"gone\" cannot be used: nobody expected gone",
        ),
        (
            "multipart: [{ name: a, value: '{{ row }}' }]",
            "line 6: attacks[0].multipart[0].value: \"{{\" is not yet supported, and is never sent as it stands",
        ),
    ] {
        let text = attack(&format!("url: http://h/\n{fields}"));
        assert_eq!(refused(&text), format!("  {told}"), "{text}");
    }
    let beside = "requests: [{ get: http://h/, body: a }]\nmultipart: [{ name: a, value: b }]";
    assert_eq!(
        refused(&attack(beside)),
        "  line 6: attacks[0].multipart: multipart cannot stand beside requests; move it into each of them"
    );
    let raw = RawConfig::read(&attack("url: http://h/\nmultipart: [{ name: a, file: b }]")).unwrap();
    assert_eq!(
        Config::try_from(raw).unwrap_err().to_string(),
        "  attacks[0].multipart[0].file: body file \"b\" was not read; only a config that is read from a file can name one"
    );
}
