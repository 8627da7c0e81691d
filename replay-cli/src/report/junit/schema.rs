//! What readers of JUnit XML agree upon, as a table, and a report held against it: elements, their order, attributes and types.

use std::collections::BTreeMap;

/// What an attribute holds.
#[derive(Clone, Copy, Debug)]
enum Type {
    Text,
    /// A whole number, not negative.
    Count,
    /// Seconds with a point at the most.
    Seconds,
}

/// How often an element may stand in its parent, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Often {
    AtMostOnce,
    Any,
}

/// An element: its attributes (`true`: it must be there), the elements in it, in order, and whether it holds text.
struct Element {
    name: &'static str,
    attributes: &'static [(&'static str, Type, bool)],
    children: &'static [(&'static str, Often)],
    text: bool,
}

const SCHEMA: &[Element] = &[
    Element {
        name: "testsuites",
        attributes: &[
            ("name", Type::Text, false),
            ("tests", Type::Count, false),
            ("failures", Type::Count, false),
            ("errors", Type::Count, false),
            ("skipped", Type::Count, false),
            ("time", Type::Seconds, false),
        ],
        children: &[("testsuite", Often::Any)],
        text: false,
    },
    Element {
        name: "testsuite",
        attributes: &[
            ("name", Type::Text, true),
            ("tests", Type::Count, true),
            ("failures", Type::Count, false),
            ("errors", Type::Count, false),
            ("skipped", Type::Count, false),
            ("time", Type::Seconds, false),
        ],
        children: &[
            ("properties", Often::AtMostOnce),
            ("testcase", Often::Any),
            ("system-out", Often::AtMostOnce),
            ("system-err", Often::AtMostOnce),
        ],
        text: false,
    },
    Element {
        name: "testcase",
        attributes: &[
            ("name", Type::Text, true),
            ("classname", Type::Text, true),
            ("file", Type::Text, false),
            ("line", Type::Count, false),
            ("time", Type::Seconds, false),
        ],
        // One of the three that say how it ended is checked below.
        children: &[
            ("properties", Often::AtMostOnce),
            ("skipped", Often::AtMostOnce),
            ("error", Often::AtMostOnce),
            ("failure", Often::AtMostOnce),
            ("system-out", Often::AtMostOnce),
            ("system-err", Often::AtMostOnce),
        ],
        text: false,
    },
    Element {
        name: "properties",
        attributes: &[],
        children: &[("property", Often::Any)],
        text: false,
    },
    Element {
        name: "property",
        attributes: &[("name", Type::Text, true), ("value", Type::Text, true)],
        children: &[],
        text: false,
    },
    Element {
        name: "failure",
        attributes: &[("type", Type::Text, true), ("message", Type::Text, false)],
        children: &[],
        text: true,
    },
    Element {
        name: "error",
        attributes: &[("type", Type::Text, true), ("message", Type::Text, false)],
        children: &[],
        text: true,
    },
    Element {
        name: "skipped",
        attributes: &[("message", Type::Text, false)],
        children: &[],
        text: false,
    },
];

/// An element as it was read.
#[derive(Debug, Default)]
struct Node {
    name: String,
    attributes: BTreeMap<String, String>,
    children: Vec<Self>,
    text: String,
}

/// Reads the one element of a document, and refuses what XML 1.0 does.
fn read(xml: &str) -> Result<Node, String> {
    let prolog = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    let mut rest = xml.strip_prefix(prolog).ok_or("no prolog")?;
    let mut open = vec![Node::default()];
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        let last = open.last_mut().ok_or("text after the end")?;
        last.text.push_str(&unescaped(text)?);
        let (tag, after) = tag[1..].split_once('>').ok_or("a tag without an end")?;
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            let node = open.pop().ok_or("nothing is open")?;
            if node.name != name {
                return Err(format!("</{name}> ends <{}>", node.name));
            }
            open.last_mut()
                .ok_or("nothing is open")?
                .children
                .push(node);
            continue;
        }
        let (tag, empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let node = element(tag)?;
        if empty {
            open.last_mut()
                .ok_or("nothing is open")?
                .children
                .push(node);
        } else {
            open.push(node);
        }
    }
    let mut document = open
        .pop()
        .filter(|_| open.is_empty())
        .ok_or("an element is open")?;
    match (document.children.len(), document.text.trim(), rest.trim()) {
        (1, "", "") => Ok(document.children.remove(0)),
        _ => Err("a document is one element".to_owned()),
    }
}

/// A start tag without its brackets.
fn element(tag: &str) -> Result<Node, String> {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut node = Node {
        name: name.to_owned(),
        ..Node::default()
    };
    while !rest.trim().is_empty() {
        let (name, value) = rest.trim_start().split_once("=\"").ok_or(tag)?;
        let (value, after) = value.split_once('"').ok_or(tag)?;
        if node
            .attributes
            .insert(name.to_owned(), unescaped(value)?)
            .is_some()
        {
            return Err(format!("`{name}` stands twice in <{tag}>"));
        }
        rest = after;
    }
    Ok(node)
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, after) = part.split_once(';').ok_or_else(|| format!("&{part}"))?;
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            other => return Err(format!("there is no entity &{other};")),
        });
        plain.push_str(after);
    }
    let whole = |c: char| matches!(c, '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..);
    match plain.chars().find(|c| !whole(*c)) {
        Some(wrong) => Err(format!("{wrong:?} is no character of XML")),
        None => Ok(plain),
    }
}

/// Says what of a report is not as the table has it.
pub(super) fn check(xml: &str) -> Result<(), String> {
    let root = read(xml)?;
    if root.name != "testsuites" {
        return Err(format!("the root is <{}>", root.name));
    }
    check_node(&root)?;
    let mut sums = [0; 4];
    for suite in &root.children {
        let cases = suite.children.iter().filter(|node| node.name == "testcase");
        let ended = |name: &str| {
            let has = |case: &&Node| case.children.iter().any(|child| child.name == name);
            cases.clone().filter(has).count()
        };
        let counts = [
            cases.clone().count(),
            ended("failure"),
            ended("error"),
            ended("skipped"),
        ];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
        check_counts(suite, counts)?;
    }
    check_counts(&root, sums)
}

fn check_counts(node: &Node, counts: [usize; 4]) -> Result<(), String> {
    let names = ["tests", "failures", "errors", "skipped"];
    for (name, count) in names.into_iter().zip(counts) {
        if node.attributes.get(name) != Some(&count.to_string()) {
            return Err(format!(
                "<{}> has {name} of {:?}, {count} are there",
                node.name,
                node.attributes.get(name)
            ));
        }
    }
    Ok(())
}

fn check_node(node: &Node) -> Result<(), String> {
    let name = &node.name;
    let rule = SCHEMA.iter().find(|rule| rule.name == name);
    let rule = rule.ok_or_else(|| format!("there is no <{name}>"))?;
    for (attribute, value) in &node.attributes {
        let known = rule.attributes.iter().find(|known| known.0 == attribute);
        let (_, kind, _) = known.ok_or_else(|| format!("<{name}> has no `{attribute}`"))?;
        let holds = match kind {
            Type::Text => true,
            Type::Count => value.parse::<u64>().is_ok(),
            Type::Seconds => {
                let digits = |c: char| c.is_ascii_digit() || c == '.';
                value.parse::<f64>().is_ok() && value.chars().all(digits)
            }
        };
        if !holds {
            return Err(format!(
                "{attribute}=\"{value}\" of <{name}> is no {kind:?}"
            ));
        }
    }
    let missing = |known: &&(&str, Type, bool)| known.2 && !node.attributes.contains_key(known.0);
    if let Some((attribute, ..)) = rule.attributes.iter().find(missing) {
        return Err(format!("<{name}> lacks `{attribute}`"));
    }
    if !rule.text && !node.text.trim().is_empty() {
        return Err(format!("<{name}> holds the text {:?}", node.text.trim()));
    }
    let mut place = 0;
    for child in &node.children {
        let allowed = rule.children.iter().skip(place);
        let found = allowed
            .enumerate()
            .find(|(_, allowed)| allowed.0 == child.name);
        let (ahead, (_, often)) =
            found.ok_or_else(|| format!("<{}> may not stand here in <{name}>", child.name))?;
        place += ahead + usize::from(*often == Often::AtMostOnce);
        check_node(child)?;
    }
    let ends = |child: &&Node| matches!(child.name.as_str(), "skipped" | "error" | "failure");
    match node.children.iter().filter(ends).count() {
        0 | 1 => Ok(()),
        _ => Err(format!("<{name}> ended in two ways")),
    }
}

#[test]
fn what_is_against_the_schema_is_refused() {
    let case =
        "<testcase name=\"a\" classname=\"b\" time=\"0.1\"><properties></properties></testcase>";
    let report = |tests: &str, inner: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{tests}\" failures=\"0\" errors=\"0\" skipped=\"0\">\
             <testsuite name=\"s\" tests=\"{tests}\" failures=\"0\" errors=\"0\" skipped=\"0\">{inner}</testsuite></testsuites>\n"
        )
    };
    assert_eq!(check(&report("1", case)), Ok(()));
    for (tests, inner, said) in [
        ("2", case.to_owned(), "1 are there"),
        ("1", case.replace("name=\"a\" ", ""), "lacks `name`"),
        ("1", case.replace("0.1", "soon"), "is no Seconds"),
        ("1", case.replace("0.1", "-1"), "is no Seconds"),
        ("1", case.replace("time", "took"), "has no `took`"),
        (
            "1",
            case.replace("properties", "property"),
            "may not stand here",
        ),
        (
            "1",
            case.replace("</testcase>", "words</testcase>"),
            "holds the text",
        ),
        (
            "1",
            case.replace("</testcase>", "<properties/></testcase>"),
            "may not stand here",
        ),
        (
            "1",
            case.replace("</testcase>", "<skipped/><failure type=\"a\"/></testcase>"),
            "two ways",
        ),
        ("1", case.replace("</testcase>", ""), "ends <testcase>"),
        ("1", case.replace("\"a\"", "\"a&b\""), "&b"),
    ] {
        let found = check(&report(tests, &inner)).expect_err(&inner);
        assert!(found.contains(said), "{inner}: {found}");
    }
}
