use super::{Which, probe};

#[test]
fn names_are_understood_and_others_refused() {
    assert_eq!("auto".parse(), Ok(Which::Auto));
    assert_eq!("io_uring".parse(), Ok(Which::Uring));
    assert_eq!("epoll".parse(), Ok(Which::Epoll));
    let refusal = "kqueue".parse::<Which>().unwrap_err();
    assert!(refusal.contains("kqueue") && refusal.contains("try auto"), "{refusal}");
}

#[test]
fn auto_never_fails_and_says_why_it_is_not_io_uring() {
    assert_eq!(Which::Epoll.resolve(), Ok((Which::Epoll, None)));
    match (probe(), Which::Auto.resolve().unwrap()) {
        (Ok(_), (Which::Uring, None)) => {}
        (Err(why), (Which::Epoll, Some(said))) => assert_eq!(why, said),
        other => panic!("{other:?}"),
    }
}
