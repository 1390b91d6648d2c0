//! What was measured and tried is told as it came out.

use std::fs;

use serde_json::{Value, json};

use crate::documents::{document, root, table};

/// The matrix of brokers as `scripts/interop` holds it true, and the reasons under it.
#[test]
fn the_matrix_of_brokers_is_what_the_interoperability_suite_expects() {
    let file = root().join("tests/interop/expected.json");
    let expected: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let brokers = expected["brokers"].as_object().unwrap();
    let cases = expected["cases"].as_array().unwrap();
    assert!(brokers.len() >= 6 && cases.len() >= 16);
    let word = |value: &Value| value.as_str().unwrap().to_owned();

    let mut lines = vec![
        brokers.values().fold(String::from("| |"), |row, broker| {
            format!(
                "{row} {} {} |",
                word(&broker["name"]),
                word(&broker["version"])
            )
        }),
        format!("|---|{}", "---|".repeat(brokers.len())),
    ];
    let mut reasons: Vec<(String, Vec<String>, Vec<String>)> = Vec::new();
    for case in cases.iter().map(word) {
        let mut row = format!("| {case} |");
        for broker in brokers.values() {
            let difference = &broker["differences"][&case];
            if difference.is_null() {
                row += " yes |";
                continue;
            }
            row += &format!(" {} |", word(&difference["comes"]));
            let because = word(&difference["because"]);
            let at = reasons.iter().position(|(known, ..)| *known == because);
            let at = at.unwrap_or_else(|| {
                reasons.push((because, Vec::new(), Vec::new()));
                reasons.len() - 1
            });
            let (_, cases, names) = &mut reasons[at];
            for (list, entry) in [(cases, case.clone()), (names, word(&broker["name"]))] {
                if !list.contains(&entry) {
                    list.push(entry);
                }
            }
        }
        lines.push(row);
    }
    lines.push(String::new());
    for (because, cases, brokers) in reasons {
        lines.push(format!(
            "* **{}** ({}): {because}.",
            brokers.join(", "),
            cases.join("; ")
        ));
    }
    let wanted = lines.join("\n");
    assert!(
        document("tests/interop/README.md").text.contains(&wanted),
        "the manual should have\n{wanted}"
    );
    for broker in brokers.values() {
        for case in broker["differences"].as_object().unwrap().keys() {
            assert!(cases.contains(&json!(case)), "`{case}` is no case");
        }
    }
}

/// The figures of the first page are some of those that were measured.
#[test]
fn the_figures_of_the_first_page_are_measured() {
    let measured = document("tests/bench/README.md").text;
    for row in table("| | mcpmqtt | the Python program |") {
        for figure in &row[1..] {
            assert!(measured.contains(figure.as_str()), "{figure} of {row:?}");
        }
    }
}
