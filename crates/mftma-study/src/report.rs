//! `report.html`: claims, figures, settings and provenance on one page that needs nothing else.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use crate::claims::{Finding, Part, Published, RULE, Runs, Side, Verdict};
use crate::figures::Comparison;
use crate::record::{Provenance, Timings, duration, size};
use mftma_draw::FONTS;

/// The style, embedded in the page.
const STYLE: &str = include_str!("report.css");

/// What the page shows.
pub struct Report<'a> {
    /// One line about the profile.
    pub description: &'a str,
    /// The claims.
    pub findings: &'a [Finding],
    /// The figures, in order.
    pub figures: &'a [Shown],
    /// Names of the figures that were not made.
    pub missing: &'a [String],
    /// Where all of it comes from.
    pub provenance: &'a Provenance,
    /// How long it took.
    pub timings: &'a Timings,
    /// Bytes of tables and figures, and of the cache.
    pub disk: (u64, u64),
}

/// A figure on the page.
pub struct Shown {
    /// `fig3`.
    pub name: String,
    /// What it shows, in one line.
    pub title: String,
    /// What it shows and how it was made.
    pub caption: String,
    /// What its table says, beside the claims.
    pub reading: Option<String>,
    /// The drawing.
    pub svg: String,
    /// How it compares with published values.
    pub comparison: Option<Comparison>,
}

/// The page.
pub fn html(report: &Report<'_>) -> String {
    let profile = &report.provenance.profile;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Memorization and manifold geometry: " (profile) }
                style { (PreEscaped(fonts())) (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Where and when does a network memorize? Results of the profile " (profile) }
                    p.soft { (report.description) }
                }
                main {
                    @for comparison in report.figures.iter().filter_map(|figure| figure.comparison.as_ref()) {
                        (beside_published(comparison))
                    }
                    (claims(report.findings))
                    section #figures {
                        h2 { "Figures" }
                        @for figure in report.figures { (shown(figure, report)) }
                        @if !report.missing.is_empty() {
                            p.soft { "Not made with these settings: " (report.missing.join(", ")) "." }
                        }
                    }
                    (settings(report.provenance))
                    (provenance(report.provenance))
                    (cost(report))
                }
            }
        }
    }
    .into_string()
}

/// The font of the figures, embedded: their texts were measured in it and would stick out in another.
fn fonts() -> String {
    let forms = ["font-weight:400", "font-weight:600", "font-style:italic"];
    FONTS
        .iter()
        .zip(forms)
        .map(|(font, form)| {
            let data = BASE64_STANDARD.encode(font);
            format!("@font-face{{font-family:Inter;{form};src:url(data:font/otf;base64,{data})}}\n")
        })
        .collect()
}

/// A comparison with published values: what all groups give first, then each.
fn beside_published(comparison: &Comparison) -> Markup {
    let all = |row: &&Vec<String>| row.iter().any(|cell| cell == "all");
    let table = |rows: Vec<&Vec<String>>| {
        html! {
            div.wide {
                table {
                    thead { tr { @for heading in &comparison.headings { th { (heading) } } } }
                    tbody {
                        @for row in rows { tr { @for cell in row { td { (cell) } } } }
                    }
                }
            }
        }
    };
    html! {
        section #published {
            h2 { (comparison.title) }
            p.soft { (comparison.text) }
            (table(comparison.rows.iter().filter(all).collect()))
            details {
                summary { "Every group" }
                (table(comparison.rows.iter().filter(|row| !all(row)).collect()))
            }
        }
    }
}

/// Verdicts at a glance, then every part of every claim.
fn claims(findings: &[Finding]) -> Markup {
    html! {
        section #claims {
            (summary(findings))
            table.claims {
                thead { tr { th { "Claim" } th { "Deciding number" } th { "Verdict" } } }
                tbody {
                    @for finding in findings {
                        tr {
                            td { strong { (finding.number) ". " (finding.title) } }
                            td.number {
                                @match deciding(finding) {
                                    Some(part) => {
                                        (numbers(part)) br; small { (part.statistic) }
                                    }
                                    None => small { (finding.reason.as_deref().unwrap_or("nothing was computed")) },
                                }
                            }
                            td { (badge(finding.verdict)) }
                        }
                    }
                }
            }
            p { small {
                "Intervals in brackets are 95 % intervals over classes, runs or test images, as each part says. Thresholds stand in the \
                 code, each with its reason, and were fixed before the runs of record. " (RULE)
            } }
            details {
                summary { "Every part of every claim" }
                @for finding in findings {
                    h3 { (finding.number) ". " (finding.title) " " (badge(finding.verdict)) }
                    p { (finding.statement) }
                    @if let Some(reason) = &finding.reason { p.soft { "Undecided: " (reason) "." } }
                    @if !finding.parts.is_empty() { (parts(&finding.parts)) }
                }
            }
        }
    }
}

/// How many claims hold; those that do not are named.
fn summary(findings: &[Finding]) -> Markup {
    let of = |verdict| -> Vec<&Finding> {
        findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .collect()
    };
    let failed = of(Verdict::DoesNotHold);
    let names = |findings: &[&Finding]| -> String {
        let names: Vec<String> = findings
            .iter()
            .map(|finding| format!("{} ({})", finding.number, finding.title))
            .collect();
        names.join(", ")
    };
    let undecided = of(Verdict::Undecided).len();
    html! {
        p.summary.fails[!failed.is_empty()] {
            strong {
                "Of the paper's " (findings.len()) " claims, " (of(Verdict::Holds).len()) " hold here, " (failed.len()) " do not, "
                (undecided) @if undecided == 1 { " is undecided." } @else { " are undecided." }
            }
            @if !failed.is_empty() { " Claims that do not hold: " (names(&failed)) "." }
        }
    }
}

/// The part that a verdict hangs on: the first that failed, else the first that is open, else the narrowest success.
fn deciding(finding: &Finding) -> Option<&Part> {
    let first = |verdict| finding.parts.iter().find(|part| part.verdict == verdict);
    let margin = |part: &Part| {
        let room = match part.wanted {
            Side::Above => part.interval[0] - part.threshold,
            Side::Below => part.threshold - part.interval[1],
        };
        room / (part.interval[1] - part.interval[0]).max(f64::MIN_POSITIVE)
    };
    first(Verdict::DoesNotHold)
        .or_else(|| first(Verdict::Undecided))
        .or_else(|| {
            let narrower = |a: &&Part, b: &&Part| margin(a).total_cmp(&margin(b));
            finding.parts.iter().min_by(narrower)
        })
}

fn parts(parts: &[Part]) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th { "Statistic" } th { "Value" } th { "Why this threshold" } th { "Part" } } }
                tbody {
                    @for part in parts {
                        tr {
                            td { (part.statistic) }
                            td.number {
                                (numbers(part)) br;
                                small { "over " (part.over) "; for all parts at once [" (number(part.wide_interval[0])) ", " (number(part.wide_interval[1])) "]" }
                                @if let Some(runs) = &part.runs { br; small { (run_by_run(runs)) } }
                            }
                            td { (part.reason) }
                            td {
                                (badge(part.verdict))
                                @if let Some(published) = &part.published { br; small { (beside(published)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `run by run 1.17, 1.27; over 2 runs [0.59, 1.85]`.
fn run_by_run(runs: &Runs) -> String {
    let values: Vec<String> = runs.values.iter().map(|value| number(*value)).collect();
    let [low, high] = runs.interval.map(number);
    let count = values.len();
    format!(
        "run by run {}; over {count} runs [{low}, {high}]",
        values.join(", ")
    )
}

/// `published 1.03, agrees (+2.1 %)`.
fn beside(published: &Published) -> String {
    let difference = 100.0 * published.relative_difference;
    let sign = if difference < 0.0 { '\u{2212}' } else { '+' };
    let word = if published.agrees {
        "agrees"
    } else {
        "does not agree"
    };
    let mut text = format!(
        "published {}; ours {word} ({sign}{:.1} %",
        number(published.value),
        difference.abs()
    );
    if let Some(statistic) = &published.statistic {
        text += &format!(
            ", {} [{}, {}]; {statistic}",
            number(published.ours),
            number(published.interval[0]),
            number(published.interval[1])
        );
    }
    text + ")"
}

/// `1.35 [1.20, 1.52], should be > 1.10`.
fn numbers(part: &Part) -> String {
    let sign = match part.wanted {
        Side::Above => '>',
        Side::Below => '<',
    };
    format!(
        "{} [{}, {}], should be {sign} {}",
        number(part.value),
        number(part.interval[0]),
        number(part.interval[1]),
        number(part.threshold)
    )
}

/// Three significant figures.
pub fn number(value: f64) -> String {
    let size = value.abs();
    let text = if size == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e5).contains(&size) {
        let decimals = (2 - size.log10().floor() as i32).max(0) as usize;
        format!("{value:.decimals$}")
    } else {
        format!("{value:.2e}")
    };
    text.replace('-', "\u{2212}")
}

fn badge(verdict: Verdict) -> Markup {
    let class = verdict.to_string().replace(' ', "-");
    html! { span class={ "verdict " (class) } { (verdict) } }
}

fn shown(figure: &Shown, report: &Report<'_>) -> Markup {
    let commit = report
        .provenance
        .figures
        .get(&figure.name)
        .and_then(|origin| origin.commit.as_deref())
        .unwrap_or("unknown");
    html! {
        figure #(figure.name) {
            // Our own drawing, whose texts were escaped when it was drawn.
            div.page tabindex="0" { (PreEscaped(&figure.svg)) }
            figcaption {
                strong { (label(&figure.name)) ". " (figure.title) ". " } (figure.caption)
                @if let Some(reading) = &figure.reading { " " em { (reading) } }
                " Table: " code { (figure.name) ".csv" } ". Drawn by commit " code { (short(commit)) } "."
            }
        }
    }
}

/// `Figure 3` for `fig3`, `Figure S4` for `s4`.
pub fn label(name: &str) -> String {
    match name.strip_prefix("fig") {
        Some(number) => format!("Figure {number}"),
        None => format!("Figure {}", name.to_uppercase()),
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn settings(provenance: &Provenance) -> Markup {
    html! {
        section #settings {
            h2 { "Settings" }
            p.soft { "As in the profile's file, which gives the source of each value, with what flags changed." }
            details {
                summary { "All settings" }
                (tree(&provenance.settings))
            }
        }
    }
}

fn provenance(provenance: &Provenance) -> Markup {
    html! {
        section #provenance {
            h2 { "Provenance" }
            p.soft { "Of the last run in this folder; each figure names the commit that drew it." }
            div.wide { (tree(&provenance.code)) (tree(&provenance.machine)) }
            h3 { "Runs: seeds, checksums of images and permutation, networks" }
            (tree(&provenance.runs))
            details {
                summary { "Checksums of the figures' files (BLAKE3)" }
                table {
                    tbody {
                        @for (name, origin) in &provenance.figures {
                            @for (ending, hash) in &origin.files {
                                tr { td { (name) "." (ending) } td { code { (hash) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cost(report: &Report<'_>) -> Markup {
    let kinds = report.timings.by_kind();
    let seconds: f64 = kinds.values().map(|(_, seconds)| seconds).sum();
    html! {
        section #cost {
            h2 { "Time and space" }
            p { "Stages took " (duration(seconds)) " in all; tables and figures take " (size(report.disk.0)) ", the cache " (size(report.disk.1)) "." }
            table {
                thead { tr { th { "Stages" } th { "Number" } th { "Time" } } }
                tbody {
                    @for (kind, (count, seconds)) in &kinds {
                        tr { td { (kind) } td.number { (count) } td.number { (duration(*seconds)) } }
                    }
                }
            }
            details {
                summary { "Every stage" }
                div.wide {
                    table {
                        thead { tr { th { "Stage" } th { "Time" } th { "For" } } }
                        tbody {
                            @for stage in &report.timings.stages {
                                tr {
                                    td { (stage.kind) " " (stage.label) }
                                    td.number { @if let Some(seconds) = stage.wall_seconds { (duration(seconds)) } }
                                    td { (stage.figures.iter().cloned().collect::<Vec<_>>().join(", ")) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A JSON value as a table: nested names joined by dots, lists of plain values on one line.
fn tree(value: &Value) -> Markup {
    let mut rows = Vec::new();
    flatten("", value, &mut rows);
    html! {
        table {
            tbody { @for (name, value) in &rows { tr { td { (name) } td { code { (value) } } } } }
        }
    }
}

fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let below = |key: &str| {
        if name.is_empty() {
            key.to_owned()
        } else {
            format!("{name}.{key}")
        }
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                flatten(&below(key), value, rows);
            }
        }
        Value::Array(values) if values.iter().any(|v| v.is_object() || v.is_array()) => {
            for (index, value) in values.iter().enumerate() {
                flatten(&below(&(index + 1).to_string()), value, rows);
            }
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(plain).collect();
            rows.push((name.to_owned(), values.join(", ")));
        }
        other => rows.push((name.to_owned(), plain(other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".into(),
        other => other.to_string(),
    }
}

/// Whether bytes are a whole report, for `cargo xtask check`.
pub fn is_whole(page: &[u8]) -> bool {
    page.starts_with(b"<!DOCTYPE html>") && page.ends_with(b"</html>")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn part(verdict: Verdict, statistic: &str, interval: [f64; 2]) -> Part {
        Part {
            statistic: statistic.into(),
            value: (interval[0] + interval[1]) / 2.0,
            interval,
            wide_interval: interval,
            over: "30 classes".into(),
            wanted: Side::Above,
            threshold: 1.0,
            reason: "because".into(),
            verdict,
            runs: None,
            published: None,
        }
    }

    fn finding(number: usize, verdict: Verdict, parts: Vec<Part>) -> Finding {
        Finding {
            number,
            title: format!("Title {number} <&>"),
            statement: "A statement.".into(),
            verdict,
            reason: None,
            parts,
        }
    }

    fn page(findings: &[Finding]) -> String {
        let provenance = Provenance {
            profile: "<script>alert(1)</script>".into(),
            settings: json!({ "data": { "dataset": "folder:<b>" }, "epochs": [0, 1] }),
            runs: json!([{ "seed": 1 }]),
            code: json!({ "commit": "0123456789abcdef" }),
            machine: json!({ "processor": "A & B" }),
            figures: BTreeMap::new(),
        };
        let figure = Shown {
            name: "s3".into(),
            title: "A title".into(),
            caption: "a < b".into(),
            reading: Some("both <agree>".into()),
            svg: "<svg></svg>\n".into(),
            comparison: Some(Comparison {
                title: "Beside <i>".into(),
                text: "ours & theirs".into(),
                headings: vec!["Group".into(), "Mean, %".into()],
                rows: vec![
                    vec!["test <u>".into(), "3.0".into()],
                    vec!["all".into(), "4.5".into()],
                ],
            }),
        };
        html(&Report {
            description: "For \"tests\"",
            findings,
            figures: &[figure],
            missing: &["fig9".to_owned()],
            provenance: &provenance,
            timings: &Timings::default(),
            disk: (1_000, 2_000_000),
        })
    }

    #[test]
    fn every_text_is_escaped_and_nothing_is_fetched() {
        let page = page(&[finding(1, Verdict::Holds, vec![])]);
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(page.contains("Title 1 &lt;&amp;&gt;") && page.contains("a &lt; b"));
        assert!(page.contains("<em>both &lt;agree&gt;</em>"));
        assert!(page.contains("<svg></svg>"));
        // The comparison with published values stands before the claims, its means before the single groups.
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
        assert!(!page.contains("<u>") && !page.contains("<i>"));
        assert!(at("Beside &lt;i&gt;") < at("4.5") && at("4.5") < at("test &lt;u&gt;"));
        assert!(at("test &lt;u&gt;") < at("id=\"claims\""));
        for outside in ["http://", "https://", "src=", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
        let embedded = page.matches("url(data:font/otf;base64,").count();
        assert_eq!((page.matches("url(").count(), embedded), (3, 3));
        assert!(is_whole(page.as_bytes()));
        assert!(!is_whole(&page.as_bytes()[..page.len() - 1]));
    }

    #[test]
    fn claims_that_fail_are_named_before_the_figures() {
        let page = page(&[
            finding(
                1,
                Verdict::Holds,
                vec![part(Verdict::Holds, "fine", [1.2, 1.4])],
            ),
            finding(
                2,
                Verdict::DoesNotHold,
                vec![part(Verdict::DoesNotHold, "bad", [0.2, 0.4])],
            ),
        ]);
        let first = &page[..page.find("<table class=\"claims\"").unwrap()];
        assert!(
            first.contains("1 hold here, 1 do not, 0 are undecided"),
            "{first}"
        );
        assert!(first.contains("do not hold: 2 (Title 2"), "{first}");
        assert!(page.contains("0.300 [0.200, 0.400], should be &gt; 1.00"));
        assert!(page.contains("Figure S3") && page.contains("Not made with these settings: fig9"));
    }

    #[test]
    fn the_deciding_part_is_the_worst() {
        use Verdict::{DoesNotHold, Holds, Undecided};
        let of = |verdicts: &[(Verdict, [f64; 2])]| {
            let parts = verdicts
                .iter()
                .enumerate()
                .map(|(index, &(verdict, interval))| part(verdict, &index.to_string(), interval))
                .collect();
            let finding = finding(1, Holds, parts);
            deciding(&finding).map(|part| part.statistic.clone())
        };
        assert_eq!(of(&[]), None);
        let wide = [1.1, 3.0];
        assert_eq!(of(&[(Holds, [2.0, 2.1]), (Holds, wide)]), Some("1".into()));
        assert_eq!(of(&[(Holds, wide), (Undecided, wide)]), Some("1".into()));
        assert_eq!(
            of(&[(Undecided, wide), (Holds, wide), (DoesNotHold, wide)]),
            Some("2".into())
        );
    }

    #[test]
    fn numbers_have_three_figures() {
        for (value, text) in [
            (0.0, "0"),
            (1.2345, "1.23"),
            (-0.012345, "\u{2212}0.0123"),
            (123.4, "123"),
            (12_345.0, "12345"),
            (1.0e-5, "1.00e\u{2212}5"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn settings_become_lines() {
        let mut rows = Vec::new();
        flatten(
            "",
            &json!({ "a": { "b": [1, 2] }, "c": [{ "d": null }] }),
            &mut rows,
        );
        let rows: Vec<(&str, &str)> = rows.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(rows, [("a.b", "1, 2"), ("c.1.d", "unknown")]);
    }
}
