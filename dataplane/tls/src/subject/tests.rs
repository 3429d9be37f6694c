use rcgen::{DistinguishedName, DnType};

use crate::leaf::Leaf;
use crate::tests::fixtures::{CLIENT_ID, Ca};

#[test]
fn subjects_read_as_openssl_prints_them() {
    let cases: Vec<(Vec<(DnType, &str)>, &str)> = vec![
        (vec![], ""),
        (vec![(DnType::CountryName, "DE"), (DnType::CommonName, "a")], "CN=a,C=DE"),
        (
            vec![(DnType::CommonName, " #a,b+c\"d\\e<f>g;h ")],
            "CN=\\ #a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h\\ ",
        ),
        (vec![(DnType::CommonName, "a\nb")], "CN=a\\0Ab"),
        (vec![(DnType::CustomDnType(vec![1, 2, 3, 4]), "x")], "1.2.3.4=#78"),
    ];
    for (names, expected) in cases {
        let pem = Ca::new("root").pem_with(CLIENT_ID, |params| {
            params.distinguished_name = DistinguishedName::new();
            for (kind, value) in &names {
                params.distinguished_name.push(kind.clone(), *value);
            }
        });
        let leaf = Leaf::parse(&pem.identity().chain()[0]).unwrap();
        assert_eq!(leaf.subject, expected);
    }
}
