use super::*;
use crate::testing::{Fixture, STORE, import, store};

const NAME: &str = "shop.example.com";
const FILE: &str = "shop.example.com.e";

fn names(list: Vec<Result<EntrySummary, BrokenEntry>>) -> Vec<String> {
    list.into_iter().map(|entry| entry.unwrap().file).collect()
}

#[test]
fn what_is_imported_is_listed_opened_and_deleted() {
    let f = Fixture::new();
    let imported = f.import(NAME, KeyType::EcdsaP256, 30);
    assert_eq!(
        (imported.entry.file.as_str(), imported.entry.version),
        (FILE, 1)
    );
    assert_eq!(imported.entry.names, [NAME]);
    let listed = f.store.list().unwrap().remove(0).unwrap();
    assert_eq!(listed, imported.entry);
    let served = f.store.open_file(FILE).unwrap().unwrap();
    assert_eq!(served.sha256, imported.entry.certificate.unwrap().sha256);
    assert_eq!((served.entry.as_str(), served.version), (NAME, 1));
    let deleted = f.store.delete(NAME, None).unwrap();
    assert_eq!(deleted[0].file, FILE);
    assert!(f.store.list().unwrap().is_empty());
    assert!(matches!(f.store.delete(NAME, None), Err(Error::NoEntry(_))));
}
