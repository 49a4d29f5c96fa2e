//! What is sent: requests, their targets and their headers.

use std::collections::HashMap;
use std::num::NonZeroU32;

use super::Check;
use crate::config::problem::{Invalid, Path};
use crate::config::raw::{RawAttack, RawExpect, RawRequest};
use crate::config::target::{self, Base, Written};
use crate::config::{
    Carrier, Http, HttpVersion, MAX_HEADERS, MAX_NAME, MAX_REDIRECTS, MAX_REQUESTS, MAX_TOTAL_WEIGHT,
    MAX_WEIGHT, Request, header,
};
use crate::secret;

/// What the requests of an attack share.
struct Context<'attack> {
    /// As it is shown, and as it is sent.
    base: Option<&'attack (Base, Base)>,
    /// Whether there is a `base_url`, valid or not.
    base_written: bool,
    shared: &'attack [(String, String)],
    http: &'attack Http,
    carrier: Option<Carrier>,
}

/// Where a request goes: the same URL twice, as for [`UrlText`].
struct Target {
    shown: url::Url,
    sent: url::Url,
}

impl Check<'_> {
    pub(super) fn requests_of(&mut self, path: &Path, raw: &RawAttack) -> Vec<Request> {
        let http = self.http(path, raw);
        let carrier =
            self.take(&path.field("engine"), Carrier::of(raw.engine, &http).map_err(Invalid::BeyondFast));
        if raw.warm_up.is_some() && carrier == Some(Carrier::Rich) {
            self.note(&path.field("warm_up"), Invalid::WarmUpOfRich(http.beyond_fast()));
        }
        let shared = self.headers(&path.field("headers"), &raw.headers.0, &http);
        let base = raw.base_url.as_ref().and_then(|text| {
            let path = path.field("base_url");
            if raw.requests.is_none() {
                self.note(&path, Invalid::LonelyBaseUrl);
            }
            let filled = self.url_text(&path, text)?;
            let base = self.take(&path, Base::read(filled.shown(text)))?;
            let sent = self.take(&path, Base::read(filled.sent(text)))?;
            Some((base, sent))
        });
        let Some(requests) = &raw.requests else {
            return self.only_request(path, raw, shared, http, carrier).into_iter().collect();
        };
        if raw.url.is_some() {
            self.note(&path.field("url"), Invalid::UrlBesideRequests);
        }
        let method = raw.method.is_some().then_some("method");
        let expect = raw.expect.is_some().then_some("expect");
        for field in method.into_iter().chain(raw.raw_body().written()).chain(expect) {
            self.note(&path.field(field), Invalid::BesideRequests(field));
        }
        let path = path.field("requests");
        if requests.is_empty() {
            self.note(&path, Invalid::NoEntry("request"));
        }
        if !self.counted(&path, "requests", requests.len(), MAX_REQUESTS) {
            return Vec::new();
        }
        let context = Context {
            base: base.as_ref(),
            base_written: raw.base_url.is_some(),
            shared: &shared,
            http: &http,
            carrier,
        };
        let mut names: HashMap<String, Path> = HashMap::new();
        let mut checked = Vec::new();
        for (index, raw) in requests.iter().enumerate() {
            let path = path.index(index);
            let request = self.request(&path, raw, &context);
            let name = raw.name.as_ref().map(|name| name.trim().to_owned());
            if let Some(name) = name.or_else(|| request.as_ref().map(|request| request.name.clone()))
                && let Some(first) = names.insert(name.clone(), path.clone())
            {
                if raw.name.is_some() {
                    self.note(&path.field("name"), Invalid::DuplicateName { name, first });
                } else {
                    self.note(&path, Invalid::DuplicateDefaultName { name, first });
                }
            }
            checked.extend(request);
        }
        let total = requests.iter().map(|raw| raw.weight.unwrap_or(1)).fold(0, u64::saturating_add);
        if total > MAX_TOTAL_WEIGHT {
            self.note(&path, Invalid::TotalWeight { total, limit: MAX_TOTAL_WEIGHT });
        }
        checked
    }

    /// What is done with the requests of an attack beside sending them.
    fn http(&mut self, path: &Path, raw: &RawAttack) -> Http {
        let redirects = u32::try_from(raw.redirects).ok().filter(|redirects| *redirects <= MAX_REDIRECTS);
        if redirects.is_none() {
            let (value, max) = (raw.redirects, u64::from(MAX_REDIRECTS));
            self.note(
                &path.field("redirects"),
                Invalid::Range { what: "number of redirects", value, min: 0, max },
            );
        }
        let proxy = raw.proxy.as_ref().and_then(|text| {
            let path = path.field("proxy");
            if raw.http_version == HttpVersion::Http2 {
                self.note(&path, Invalid::ProxyOverHttp2);
            }
            self.proxy(&path, text)
        });
        Http {
            version: raw.http_version,
            redirects: redirects.unwrap_or_default(),
            cookies: raw.cookies,
            decompress: raw.decompress,
            proxy,
        }
    }

    fn proxy(&mut self, path: &Path, text: &str) -> Option<url::Url> {
        if secret::is_special(text) {
            self.note(path, Invalid::ReferenceInHost);
            return None;
        }
        let url = match target::absolute(Written { text, filled: text }) {
            Err(Invalid::Credentials) => Err(Invalid::ProxyCredentials),
            Ok(url) if url.path() != "/" || url.query().is_some() || !is_plain(&url) => {
                Err(Invalid::Proxy(text.to_owned()))
            }
            other => other,
        };
        self.take(path, url)
    }

    /// The request of an attack that has but one.
    fn only_request(
        &mut self,
        path: &Path,
        raw: &RawAttack,
        headers: Vec<(String, String)>,
        http: Http,
        carrier: Option<Carrier>,
    ) -> Option<Request> {
        let url = match &raw.url {
            Some(text) => self.absolute(&path.field("url"), text).map(|url| url.sent),
            None if raw.base_url.is_some() => None,
            None => {
                self.note(path, Invalid::NoTarget("url, or base_url with requests"));
                None
            }
        };
        let method = self.method(&path.field("method"), raw.method.as_deref());
        let (body, headers) = self.body(path, &raw.raw_body(), headers);
        let expect_status = self.expect(path, raw.expect.as_ref());
        Some(Request {
            name: raw.name.trim().to_owned(),
            weight: NonZeroU32::MIN,
            method: method?,
            url: url?,
            headers,
            body,
            expect_status,
            http,
            carrier: carrier?,
        })
    }

    fn request(&mut self, path: &Path, raw: &RawRequest, context: &Context<'_>) -> Option<Request> {
        if let Some(name) = &raw.name {
            self.name(&path.field("name"), name);
        }
        let weight = raw.weight.map_or(Some(NonZeroU32::MIN), |weight| {
            self.whole(&path.field("weight"), "weight", weight, MAX_WEIGHT)
        });
        let written = self.method(&path.field("method"), raw.method.as_deref());
        let targets = raw.targets();
        let (method, url) = match targets.as_slice() {
            [] => {
                self.note(path, Invalid::NoTarget("get, post or another method with a path, or url"));
                (None, None)
            }
            [(field, method, text)] => {
                if method.is_some() && raw.method.is_some() {
                    self.note(&path.field("method"), Invalid::MethodTwice(field));
                }
                let url = self.target(&path.field(field), field, text, context);
                (method.map(str::to_owned).or(written), url)
            }
            several => {
                self.note(path, Invalid::Targets(several.iter().map(|(field, ..)| *field).collect()));
                (None, None)
            }
        };
        let own = self.headers(&path.field("headers"), &raw.headers.0, context.http);
        let headers = header::merge(context.shared, own);
        let (body, headers) = self.body(path, &raw.raw_body(), headers);
        let expect_status = self.expect(path, raw.expect.as_ref());
        let (method, url) = (method?, url?);
        let name = match &raw.name {
            Some(name) => name.trim().to_owned(),
            None => self.default_name(&method, default_path(&targets, &url.shown)),
        };
        let (weight, url) = (weight?, url.sent);
        let (http, carrier) = (context.http.clone(), context.carrier?);
        Some(Request { name, weight, method, url, headers, body, expect_status, http, carrier })
    }

    /// Its references read as they are written.
    fn default_name(&self, method: &str, path: &str) -> String {
        let mut name = format!("{method} {path}");
        for reference in &self.references {
            let written = reference.to_string();
            name = name.replace(&secret::percent_encoded(&written), &written);
        }
        name.chars().take(MAX_NAME).collect()
    }

    fn target(&mut self, path: &Path, field: &str, text: &str, context: &Context<'_>) -> Option<Target> {
        let is_path = text.trim_start().starts_with(['/', '?']);
        match field {
            "url" => return self.absolute(path, text),
            "path" if !is_path => self.note(path, Invalid::Path(text.to_owned())),
            _ if !is_path && !text.contains("://") => self.note(path, Invalid::Target(text.to_owned())),
            _ if !is_path => return self.absolute(path, text),
            _ => match context.base {
                Some((base, sent_base)) => {
                    let filled = self.url_text(path, text)?;
                    let shown = self.take(path, base.join(filled.shown(text)))?;
                    let sent = self.take(path, sent_base.join(filled.sent(text)))?;
                    return Some(Target { shown, sent });
                }
                // The base URL's own problem has been noted.
                None if context.base_written => {}
                None => self.note(path, Invalid::PathWithoutBase(text.to_owned())),
            },
        }
        None
    }

    fn absolute(&mut self, path: &Path, text: &str) -> Option<Target> {
        let filled = self.url_text(path, text)?;
        let shown = self.take(path, target::absolute(filled.shown(text)))?;
        let sent = self.take(path, target::absolute(filled.sent(text)))?;
        Some(Target { shown, sent })
    }

    fn method(&mut self, path: &Path, text: Option<&str>) -> Option<String> {
        let Some(text) = text else { return Some("GET".to_owned()) };
        let method = text.to_ascii_uppercase();
        if !header::is_token(&method) {
            self.note(path, Invalid::Method(text.to_owned()));
            return None;
        }
        if method == "CONNECT" {
            self.note(path, Invalid::Connect);
            return None;
        }
        Some(method)
    }

    /// Valid headers, with names in lower case.
    fn headers(&mut self, path: &Path, written: &[(String, String)], http: &Http) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        if !self.counted(path, "headers", written.len(), MAX_HEADERS) {
            return headers;
        }
        for (name, value) in written {
            let path = path.field(name);
            let Some(name) = self.take(&path, header::name(name)) else { continue };
            if http.version == HttpVersion::Http2 && name == "host" {
                self.note(&path, Invalid::HostOverHttp2);
            }
            let Some(value) = self.header_value(&path, &name, value) else { continue };
            if headers.iter().any(|(other, _)| *other == name) {
                self.note(&path, Invalid::HeaderTwice(name));
                continue;
            }
            headers.push((name, value));
        }
        headers
    }

    fn expect(&mut self, path: &Path, raw: Option<&RawExpect>) -> Option<u16> {
        let status = raw?.status?;
        let valid = u16::try_from(status).ok().filter(|status| (100..=599).contains(status));
        if valid.is_none() {
            let what = Invalid::Range { what: "status", value: status, min: 100, max: 599 };
            self.note(&path.field("expect").field("status"), what);
        }
        valid
    }
}

/// Whether a host is a name or an address, and none of the oddities that URLs may hold:
/// what cannot be read as a proxy is no proxy to HTTP clients, and they go without.
fn is_plain(url: &url::Url) -> bool {
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    url.domain().is_none_or(plain)
}

/// The path as the user wrote it, without its query; of a whole URL, its path.
/// Never with a value in it, since it is shown.
fn default_path<'text>(targets: &[(&str, Option<&str>, &'text str)], shown: &'text url::Url) -> &'text str {
    match targets {
        [(_, _, text)] if text.starts_with('/') => text.split('?').next().unwrap_or(text),
        _ => shown.path(),
    }
}
