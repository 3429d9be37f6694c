use super::*;

fn chosen(accepted: &str, offered: &[&'static str]) -> &'static str {
    let offered = offered.iter().map(|name| name.as_bytes());
    choose(accepted.as_bytes(), offered).map_or("", |name| std::str::from_utf8(name).unwrap())
}

#[test]
fn the_weightiest_that_is_there_is_chosen() {
    let all = &["gzip", "br", "zstd"];
    for (accepted, expected) in [
        ("gzip", "gzip"),
        ("br, gzip", "br"),
        ("br;q=0.5, gzip", "gzip"),
        ("br ; q=0.5 , gzip;q=0.7", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0, *", "br"),
        ("*, gzip;q=0", "br"),
        ("identity", ""),
        ("identity, gzip", ""),
        ("identity;q=0.5, gzip", "gzip"),
        ("deflate, gzip;q=0.1", "gzip"),
        ("deflate", ""),
        ("", ""),
        ("gzip;q=0", ""),
        ("gzip;q=x", ""),
        ("gzip;q=x, br", "br"),
        ("gzip;level=1", "gzip"),
        ("GZIP", ""),
    ] {
        assert_eq!(chosen(accepted, all), expected, "{accepted}");
    }
    assert_eq!(chosen("br, gzip", &["gzip"]), "gzip");
    assert_eq!(chosen("*", &[]), "");
}

#[test]
fn several_lines_are_one_list() {
    let mut answer = Head::default();
    for line in [b"origin".as_slice(), b"accept"] {
        answer.append(b"vary", line);
    }
    for _ in 0..2 {
        vary(&mut answer);
        let told: Vec<_> = answer.values(b"vary").collect();
        assert_eq!(told, [b"origin,accept, Accept-Encoding"]);
    }
}
