//! Configurations: whatever is written, every finding points into the text, every report can be
//! shown, and what is accepted is the same once it is written out and read again, but for secrets,
//! which are not written out.

use evenkeel_config::{Report, Severity, Source, Span, effective, load};

/// The input is one file, or several with a NUL between them.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let texts = text.split('\0').take(4);
    let sources: Vec<Source> = texts
        .enumerate()
        .map(|(index, text)| Source { name: format!("file-{index}"), text: text.to_owned() })
        .collect();
    let environment = |name: &str| (name == "PORT").then(|| "8080".to_owned());
    match load(&sources, &environment) {
        Ok(loaded) => {
            check_report(&loaded.warnings, &sources);
            assert!(!loaded.warnings.has_errors());
            check_effective(&effective(&loaded.config));
        }
        Err(report) => {
            check_report(&report, &sources);
            assert!(report.has_errors(), "refused without a reason");
        }
    }
}

fn check_report(report: &Report, sources: &[Source]) {
    for diagnostic in &report.diagnostics {
        let related = diagnostic.related.iter().map(|(span, _)| *span);
        for span in diagnostic.span.into_iter().chain(related) {
            check_span(span, sources, diagnostic.code);
            assert!(report.place(span).is_some(), "{span:?} has no line");
        }
    }
    let shown = [report.render(false), report.render(true), report.compact()];
    assert!(report.is_empty() || shown.iter().all(|text| !text.is_empty()));
    assert_eq!(report.to_json().as_array().map(Vec::len), Some(report.diagnostics.len()));
}

fn check_span(span: Span, sources: &[Source], code: &str) {
    let text = sources.get(span.source as usize).map(|source| source.text.as_str());
    let part = text.and_then(|text| text.get(span.start as usize..span.end as usize));
    assert!(part.is_some(), "{code}: {span:?} is no part of the text");
}

fn check_effective(written: &str) {
    let sources = [Source { name: "effective".to_owned(), text: written.to_owned() }];
    match load(&sources, &|_| None) {
        Ok(again) => assert_eq!(effective(&again.config), written, "it means something else"),
        Err(report) => {
            let is_secret = |code| code == "hidden-secret" || code == "unset-variable";
            let only_secrets = report
                .diagnostics
                .iter()
                .all(|d| is_secret(d.code) || d.severity == Severity::Warning);
            assert!(only_secrets, "{}\n{written}", report.compact());
        }
    }
}
