//! The operations on caches: what they hold, and having them forget. No change of what is wanted: they
//! act on what serves at the moment.

use evenkeel_proxy::snapshot::Purge;
use serde_json::json;

use super::operation::{Call, Reply};
use super::problem::Problem;

type Answered = Result<Reply, Problem>;

/// GET /v1/caches
pub(crate) async fn caches(call: Call) -> Answered {
    let stand = call.api.stand();
    let caches = stand.publication.snapshot.caches();
    let caches = caches.map(
        |(policy, bytes, entries)| json!({ "policy": policy, "bytes": bytes, "entries": entries }),
    );
    let caches: Vec<_> = caches.collect();
    Ok(Reply::ok(json!(caches), call.api.version()))
}

/// POST /v1/caches/purge
pub(crate) async fn purge(call: Call) -> Answered {
    let text = |name: &str| call.body[name].as_str().map(str::to_owned);
    let all = call.body["all"].as_bool() == Some(true);
    let asked = [
        text("url").map(|url| Purge::Url(spelled(&url))),
        text("prefix").map(|prefix| Purge::Prefix(spelled(&prefix))),
        text("tag").map(Purge::Tag),
        all.then_some(Purge::All),
    ];
    let mut asked = asked.into_iter().flatten();
    let (Some(what), None) = (asked.next(), asked.next()) else {
        return Err(Problem::bad("bad-body", "say one of `url`, `prefix`, `tag` and `all: true`"));
    };
    if let Purge::Url(text) | Purge::Prefix(text) = &what
        && !(text.starts_with("http://") || text.starts_with("https://"))
    {
        return Err(Problem::bad(
            "bad-value",
            format!("`{text}` does not begin with http:// or https://"),
        )
        .help("write it as clients do: `https://www.example.com/news/today`"));
    }
    let policy = text("policy");
    let stand = call.api.stand();
    // A look at everything there is: not on the thread that others wait for.
    let name = policy.clone();
    let purged = tokio::task::spawn_blocking(move || {
        stand.publication.snapshot.purge(name.as_deref(), &what)
    });
    match (purged.await, policy) {
        (Ok(Some(count)), _) => Ok(Reply::ok(json!({ "purged": count }), call.api.version())),
        (Ok(None), Some(policy)) => {
            let why = format!("there is no policy `{policy}` that is a cache");
            Err(Problem::new(axum::http::StatusCode::NOT_FOUND, "not-found", why))
        }
        (Ok(None), None) => Ok(Reply::ok(json!({ "purged": 0 }), call.api.version())),
        (Err(_), _) => Err(Problem::new(
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            "purge-failed",
            "the caches could not be looked through",
        )),
    }
}

/// A URL as keys have it: scheme and host in lower case, and no port that is the usual one.
fn spelled(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let port = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(port).unwrap_or(&host);
    let path = if path.is_empty() { "/" } else { path };
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_compared_in_one_spelling() {
        assert_eq!(spelled("HTTP://A.example:80/X?y"), "http://a.example/X?y");
        assert_eq!(spelled("https://a.example:80"), "https://a.example:80/");
        assert_eq!(spelled("https://a.example:443/"), "https://a.example/");
    }
}
