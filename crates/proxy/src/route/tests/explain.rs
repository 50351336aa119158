//! Why a request takes the route it takes.

use super::{get, name, routes};
use crate::route::explain::{Verdict, explain};

#[test]
fn every_alternative_says_what_became_of_it() {
    let config = routes(
        "fallback: { path: / }
         api: { host: shop.test, path: /api }
         write: { host: shop.test, path: /api, header: { x-a: present }, method: POST }
         deep: { host: shop.test, path: /api/v1 }
         other: { host: other.test, path: /api }",
    );
    let sent = get("shop.test/api/v2", &["X-A: 1"]);
    let told = explain(&config, &sent.view());
    let told: Vec<_> = told.iter().map(|(a, verdict)| (name(&config, a.route), *verdict)).collect();
    assert_eq!(
        told,
        [
            ("other", Verdict::Host),
            ("deep", Verdict::Path),
            ("write", Verdict::Condition(1)),
            ("api", Verdict::Taken),
            ("fallback", Verdict::Outranked),
        ]
    );
}
