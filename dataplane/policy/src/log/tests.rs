use config::snapshot::{
    AccessLogType, Compare, Flag, Flags, HeaderMatch, LogFilter, Point, Threshold, ValueMatch,
};

use super::holds;
use crate::fixture;
use crate::format::{Course, Facts};

/// Each filter, what it must let pass, and what it must not.
#[test]
fn filters_hold_as_envoys() {
    let head = fixture::head("GET / HTTP/1.1\nhost: a\nx-k: v");
    let mut points = [None; Point::COUNT];
    points[Point::Over as usize] = Some(5_900_000);
    let facts = Facts {
        request: Some(&head),
        course: Course {
            status: 503,
            flags: Flags::of(Flag::NoRouteFound),
            points,
            kind: AccessLogType::DownstreamEnd,
            ..Course::default()
        },
        ..Facts::default()
    };
    let than = |how, with| Threshold { how, with };
    let header = |name: &str| {
        LogFilter::Header(HeaderMatch {
            name: name.as_bytes().into(),
            value: ValueMatch::Present(true),
            invert: false,
            missing_as_empty: false,
        })
    };
    let types =
        |types: &[AccessLogType], excludes| LogFilter::Type { types: types.into(), excludes };
    let flags = |flag| LogFilter::Flags(Some(Flags::of(flag)));
    let both = |a: LogFilter, b: LogFilter| vec![a, b];
    let yes = [
        LogFilter::NotHealthCheck,
        LogFilter::Status(than(Compare::AtLeast, 500)),
        LogFilter::Status(than(Compare::Equal, 503)),
        LogFilter::Status(than(Compare::Differs, 200)),
        LogFilter::Duration(than(Compare::AtMost, 5)),
        LogFilter::Sample { of: 6, out_of: 100 },
        LogFilter::Flags(None),
        flags(Flag::NoRouteFound),
        header("x-k"),
        LogFilter::GrpcStatus { statuses: 1 << 14, excludes: false },
        LogFilter::GrpcStatus { statuses: 1, excludes: true },
        types(&[AccessLogType::DownstreamEnd], false),
        LogFilter::All(both(header("x-k"), LogFilter::NotHealthCheck)),
        LogFilter::Any(both(header("x-no"), LogFilter::NotHealthCheck)),
    ];
    let no = [
        LogFilter::Status(than(Compare::AtMost, 499)),
        LogFilter::Duration(than(Compare::AtLeast, 6)),
        LogFilter::Sample { of: 5, out_of: 100 },
        flags(Flag::UpstreamOverflow),
        header("x-no"),
        LogFilter::GrpcStatus { statuses: 1 << 14, excludes: true },
        types(&[AccessLogType::DownstreamEnd], true),
        types(&[], false),
        LogFilter::All(both(header("x-k"), header("x-no"))),
        LogFilter::Any(both(header("x-no"), LogFilter::Sample { of: 0, out_of: 100 })),
    ];
    for filter in &yes {
        assert!(holds(filter, &facts, 105), "{filter:?}");
    }
    for filter in &no {
        assert!(!holds(filter, &facts, 105), "{filter:?}");
    }
    let nothing = Facts::default();
    assert!(!holds(&LogFilter::Flags(None), &nothing, 0) && !holds(&header("x-k"), &nothing, 0));
    assert!(!holds(&LogFilter::Duration(than(Compare::AtLeast, 0)), &nothing, 0));
}
