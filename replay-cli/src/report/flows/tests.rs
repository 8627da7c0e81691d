use super::*;
use crate::capture::facts::{Detail, Fact, Side};

fn fact(kind: FactKind) -> Fact {
    Fact {
        kind,
        by: Some(Side::Remote),
        at_ns: 1_000_000_000,
        lasted_ns: Some(3_000_000_000),
        ending: None,
        frame: 7,
        count: 1,
        detail: Detail::None,
    }
}

fn facts(kinds: &[FactKind], name: Option<&str>) -> Facts {
    Facts {
        list: kinds.iter().map(|kind| fact(*kind)).collect(),
        name: name.map(str::to_owned),
    }
}

fn row<'a>(number: usize, verdict: &'static str, facts: &'a Facts) -> Row<'a> {
    let port = 40_000 + u16::try_from(number).unwrap();
    Row {
        index: number - 1,
        number,
        verdict,
        reason: (verdict == "fail").then_some("the device got 1 of 2 bytes"),
        protocol: Protocol::Tcp,
        client: ([10, 0, 0, 2], port).into(),
        server: ([192, 0, 2, 1], 443).into(),
        facts,
        packets: 4,
        up: number as u64,
        down: 100,
        start_ns: 0,
        lasted_ns: 1,
    }
}

fn shown(rows: Vec<Row<'_>>, view: &View) -> String {
    let clock = Clock {
        form: TimeForm::Relative,
        start_ns: 0,
    };
    let columns = [
        ("VERDICT", Align::Left),
        ("#", Align::Right),
        ("FLOW", Align::Left),
        ("FACTS", Align::Left),
    ];
    let mut out = Vec::new();
    print(
        &mut out,
        Style::default(),
        view,
        rows,
        &columns,
        &[0, 1, 2, 3],
        |row| {
            [
                row.verdict.to_owned(),
                row.number.to_string(),
                row.flow(Some([10, 0, 0, 2].into())),
                row.why(clock),
            ]
        },
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn of_many_flows_failures_stand_first_and_the_rest_in_groups() {
    let quiet = facts(&[FactKind::OpenAtEnd], Some("www.example.com"));
    let stalled = facts(&[FactKind::Stalled, FactKind::ZeroWindow], None);
    let mut rows: Vec<Row<'_>> = (1..=40).map(|n| row(n, "pass", &quiet)).collect();
    rows.push(row(41, "pass", &stalled));
    rows.push(row(42, "fail", &quiet));
    let view = View {
        width: 80,
        ..View::default()
    };
    insta::assert_snapshot!(shown(rows, &view));
}

#[test]
fn few_flows_have_a_row_each_the_worst_first() {
    let quiet = facts(&[], None);
    let stalled = facts(&[FactKind::Stalled], None);
    let rows = vec![
        row(1, "pass", &quiet),
        row(2, "pass", &stalled),
        row(3, "fail", &quiet),
    ];
    let text = shown(rows, &View::default());
    let order: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(order, ["#", "3", "2", "1"]);
}

#[test]
fn rows_are_sorted_by_what_is_asked_for() {
    let (a, b) = (facts(&[], Some("a.example")), facts(&[], Some("b.example")));
    let order = |sort| {
        let mut rows = vec![row(1, "pass", &b), row(2, "pass", &a), row(3, "pass", &b)];
        rows[1].lasted_ns = 9;
        let view = View {
            sort: Some(sort),
            ..View::default()
        };
        let chosen = choose(rows.into_iter(), &view);
        chosen.iter().map(|row| row.number).collect::<Vec<_>>()
    };
    assert_eq!(order(Sort::Number), [1, 2, 3]);
    assert_eq!(order(Sort::Bytes), [3, 2, 1]);
    assert_eq!(order(Sort::Duration), [2, 1, 3]);
    assert_eq!(order(Sort::Name), [2, 1, 3]);
}

#[test]
fn what_is_wanted_is_told_apart_by_its_form() {
    let parse = |text: &str| text.parse::<Wanted>();
    assert_eq!(parse("12"), Ok(Wanted::Number(12)));
    assert_eq!(parse(":443"), Ok(Wanted::Port(443)));
    assert_eq!(parse("::1"), Ok(Wanted::Address("::1".parse().unwrap())));
    assert_eq!(parse("[::1]"), Ok(Wanted::Address("::1".parse().unwrap())));
    let socket = "[::1]:80";
    assert_eq!(parse(socket), Ok(Wanted::Socket(socket.parse().unwrap())));
    assert_eq!(
        parse("WWW.example"),
        Ok(Wanted::Name("www.example".to_owned()))
    );
    assert!(parse("").is_err());
}
