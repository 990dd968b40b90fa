//! Secrets are taken out of what a report contains, and each place is named. Pure.

use crate::cni::json;
use serde_json::Value;

/// What stands in the place of a secret.
pub const MASK: &str = "***masked***";
/// A key with one of these words has a secret.
const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "token",
    "secret",
    "psk",
    "privatekey",
    "clientkey",
    "clientcertificate",
    "credential",
    "apikey",
    "authorization",
];
/// A key that is one of these words has a secret.
const SECRET_KEYS: [&str; 3] = ["pass", "pwd", "auth"];
/// So ends the name of a key with which somebody signs or logs in.
const KEY: &str = "key";
/// Keys that are none of those.
const OTHER_KEYS: [&str; 3] = ["key", "publickey", "topologykey"];
/// What such a key may say of a secret without being one.
const HARMLESS_ENDINGS: [&str; 5] = ["name", "namespace", "path", "file", "seconds"];
/// A copy of the whole object, with everything that was taken out of the rest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A text without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// The text.
    pub text: String,
    /// Where something was taken out, and what.
    pub places: Vec<String>,
}

/// `text` without secrets: JSON by its keys, everything else by its lines.
pub fn mask(text: &str) -> Masked {
    let trimmed = text.trim_start();
    if trimmed.starts_with(['{', '['])
        && let Ok(mut value) = json::parse::<Value>(text)
    {
        let mut places = Vec::new();
        walk(&mut value, "", &mut places);
        if places.is_empty() {
            return Masked { text: text.to_owned(), places };
        }
        // What was read serialises.
        let text = serde_json::to_string_pretty(&value).unwrap_or_default() + "\n";
        return Masked { text, places };
    }
    lines(text)
}

fn is_secret(key: &str) -> bool {
    let plain: String = key.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let has_word = SECRET_WORDS.iter().any(|word| plain.contains(word)) || SECRET_KEYS.contains(&plain.as_str());
    let is_key = plain.ends_with(KEY) && !OTHER_KEYS.contains(&plain.as_str());
    (has_word || is_key) && !HARMLESS_ENDINGS.iter().any(|end| plain.ends_with(end))
}

/// Whether the value only says yes or no: a variable such as `…_AUTHORIZATION` may switch something.
fn is_switch(value: &str) -> bool {
    ["true", "false"].iter().any(|word| value.trim().eq_ignore_ascii_case(word))
}

fn walk(value: &mut Value, at: &str, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            // Kubernetes' list of variables has the key in one member and the value in another.
            let named = members.get("name").and_then(Value::as_str).is_some_and(is_secret);
            for (key, member) in members {
                let at = format!("{at}/{key}");
                let is_given = !member.is_object() && !member.is_array() && !member.is_null() && !member.is_boolean();
                let is_given = is_given && !member.as_str().is_some_and(is_switch);
                if (is_given && (is_secret(key) || (named && key == "value"))) || key == LAST_APPLIED {
                    *member = Value::String(MASK.to_owned());
                    places.push(at);
                } else if is_secret(key) && member.is_array() {
                    *member = Value::Array(vec![Value::String(MASK.to_owned())]);
                    places.push(at);
                } else {
                    walk(member, &at, places);
                }
            }
        }
        Value::Array(members) => {
            for (number, member) in members.iter_mut().enumerate() {
                walk(member, &format!("{at}/{number}"), places);
            }
        }
        // A NAD has its configuration as a text.
        Value::String(text) => {
            let inner = mask(text);
            if !inner.places.is_empty() {
                *text = inner.text.trim_end().to_owned();
                places.extend(inner.places.into_iter().map(|place| format!("{at}: {place}")));
            }
        }
        _ => {}
    }
}

fn lines(text: &str) -> Masked {
    let (mut masked, mut places, mut in_key) = (String::with_capacity(text.len()), Vec::new(), false);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let begins = line.contains("-----BEGIN") && line.contains("PRIVATE KEY");
        if begins || in_key {
            if begins {
                places.push(format!("line {}: a private key", number + 1));
                masked.push_str(MASK);
                masked.push('\n');
            }
            in_key = !line.contains("-----END");
            continue;
        }
        let (line, mut found) = of_line(line);
        let (line, in_urls) = without_users(&line);
        found.extend(in_urls);
        masked.push_str(&line);
        places.extend(found.into_iter().map(|what| format!("line {}: {what}", number + 1)));
    }
    Masked { text: masked, places }
}

/// The line without secrets, and what they were.
fn of_line(line: &str) -> (String, Vec<String>) {
    let (mut out, mut found) = (String::with_capacity(line.len()), Vec::new());
    let mut rest = line;
    // The word before, and whether the line had only spaces, dashes and quotes before that.
    let (mut key, mut is_first) = (String::new(), true);
    let mut is_bearer = false;
    while let Some(c) = rest.chars().next() {
        let word: &str = &rest[..rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len())];
        if word.is_empty() {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            let is_set = c == '=' || (c == ':' && (is_first || out.ends_with("\":") || out.ends_with("\\\":")));
            if is_set && is_secret(&key) {
                let (begin, value) = value_of(rest);
                if !value.is_empty() && !is_switch(value) {
                    found.push(std::mem::take(&mut key));
                    out.push_str(begin);
                    out.push_str(MASK);
                    rest = &rest[begin.len() + value.len()..];
                }
            }
            is_first &= c.is_whitespace() || "-\"':".contains(c);
            continue;
        }
        if is_bearer || is_jwt(word) {
            found.push("a token".to_owned());
            out.push_str(MASK);
        } else {
            out.push_str(word);
        }
        is_bearer = word.eq_ignore_ascii_case("bearer");
        // A dash begins an element of a list.
        is_first = is_first && key.trim_matches('-').is_empty();
        key = word.to_owned();
        rest = &rest[word.len()..];
    }
    (out, found)
}

/// `line` without the user information of the URLs in it (RFC 3986, 3.2.1), and how often it had some.
fn without_users(line: &str) -> (String, Vec<String>) {
    let (mut out, mut found, mut rest) = (String::with_capacity(line.len()), Vec::new(), line);
    while let Some(at) = rest.find("://").map(|at| at + 3) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let authority =
            &rest[..rest.find(|c: char| c.is_whitespace() || "/?#\"'\\,".contains(c)).unwrap_or(rest.len())];
        if let Some(end) = authority.rfind('@').filter(|end| authority[..*end] != *MASK) {
            out.push_str(MASK);
            rest = &rest[end..];
            found.push("the user of a URL".to_owned());
        }
    }
    out.push_str(rest);
    (out, found)
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || "-_.+/".contains(c)
}

/// What stands between the sign and the value, and the value.
fn value_of(rest: &str) -> (&str, &str) {
    let at = rest.find(|c: char| !" \t\"'\\".contains(c)).unwrap_or(rest.len());
    let (begin, rest) = rest.split_at(at);
    let end = |c: char| if begin.contains(['"', '\'']) { "\"'\\\n".contains(c) } else { " \t\n,;}&".contains(c) };
    (begin, &rest[..rest.find(end).unwrap_or(rest.len())])
}

/// A JSON Web Token: three parts of base64, of which the first begins with `{"`.
fn is_jwt(word: &str) -> bool {
    word.starts_with("eyJ") && word.len() > 40 && word.split('.').count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl_-x";

    #[test]
    fn json_is_masked_by_its_keys() {
        let text = serde_json::json!({
            "name": "wg", "psk": "s3cr3t", "mtu": 1500, "secretName": "x", "tokenExpirationSeconds": 5,
            "spec": {"config": "{\"type\":\"x\",\"privateKey\":\"s3cr3t\",\"mtu\":9}"},
            "env": [{"name": "DB_PASSWORD", "value": "s3cr3t"}, {"name": "LEVEL", "value": "debug"}],
            "metadata": {"annotations": {LAST_APPLIED: "{\"all\":\"of it\"}"}}, "passwords": ["s3cr3t"],
            "serviceAccountToken": {"path": "token"}, "pwd": "s3cr3t", "auth": "Basic s3cr3t", "etcd_key": "s3cr3t",
            "access_key": "s3cr3t", "endpoints": ["https://root:s3cr3t@h:2379/"], "topologyKey": "zone", "key": "role", "note": format!("Bearer abc.def, {JWT}"),
        })
        .to_string();
        let masked = mask(&text);
        let gone = ["s3cr3t", "of it", "abc.def", JWT];
        assert!(gone.iter().all(|secret| !masked.text.contains(secret)), "{}", masked.text);
        for kept in [
            "\"topologyKey\": \"zone\"",
            "\"key\": \"role\"",
            "@h:2379/",
            "\"mtu\": 1500",
            "\"secretName\": \"x\"",
            "debug",
            "\"path\": \"token\"",
            "mtu\\\": 9",
        ] {
            assert!(masked.text.contains(kept), "{kept}: {}", masked.text);
        }
        let places = masked.places.join("\n");
        for place in ["/psk", "/spec/config: /privateKey", "/env/0/value", "/metadata/annotations/kubectl"] {
            assert!(places.contains(place), "{place}: {places}");
        }
    }

    #[test]
    fn what_has_no_secret_stays_as_it_is() {
        let texts = [
            "{ \"type\":\"bridge\",  \"mtu\": 9 }",
            "plexusd: the API server refuses the token: Unauthorized\n",
            "level=info msg=\"token rotated\" path=/var/run/secrets/token\n",
            r#"{"env":[{"name":"PLEXUS_METRICS_AUTHORIZATION","value":"true"},{"name":"X_TOKEN","value":"False"}]}"#,
            "PLEXUS_METRICS_AUTHORIZATION=true --use-token=false\n",
            "{broken",
            "",
        ];
        for text in texts {
            assert_eq!(mask(text), Masked { text: text.to_owned(), places: Vec::new() }, "{text}");
        }
    }

    #[test]
    fn lines_are_masked_where_they_set_something() {
        let table = [
            ("  token: s3cr3t\n", "  token: ***masked***\n"),
            ("- client-key-data: czNjcjN0\n", "- client-key-data: ***masked***\n"),
            ("x PSK=\"s3 cr3t\" y\n", "x PSK=\"***masked***\" y\n"),
            (
                "{\"level\":\"x\",\"password\":\"s3cr3t\",\"a\":1} and\n",
                "{\"level\":\"x\",\"password\":\"***masked***\",\"a\":1} and\n",
            ),
            ("GET /?token=s3cr3t&a=b\n", "GET /?token=***masked***&a=b\n"),
            ("authorization bearer s3cr3t\n", "authorization bearer ***masked***\n"),
            ("dial https://root:s3cr3t@h:2379/x: refused\n", "dial https://***masked***@h:2379/x: refused\n"),
            ("{\"broken\": {\"pass\":\"s3cr3t\"\n", "{\"broken\": {\"pass\":\"***masked***\"\n"),
            ("a\n-----BEGIN EC PRIVATE KEY-----\ns3cr3t\n-----END EC PRIVATE KEY-----\nb\n", "a\n***masked***\nb\n"),
        ];
        for (text, expected) in table {
            let masked = mask(text);
            assert_eq!(masked.text, expected);
            assert_eq!(masked.places.len(), 1, "{text}: {:?}", masked.places);
        }
        assert_eq!(mask(&format!("seen {JWT}")).text, "seen ***masked***");
    }
}
