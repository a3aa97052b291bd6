//! Every recipe of the repository, under every profile that it has: checked, planned, in the one layout.

use zoo_tests::{Place, repository};

#[test]
fn every_recipe_is_checked_formatted_and_planned_under_every_profile() {
    let place = Place::new();
    let mut recipes: Vec<_> = std::fs::read_dir(repository().join("recipes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mlm"))
        .collect();
    recipes.sort();
    assert!(!recipes.is_empty());
    for recipe in recipes.iter().map(|path| path.to_str().unwrap()) {
        let checked = place.zoo(&["check", "--json", recipe]);
        assert_eq!(checked.code, 0, "{recipe}: {checked:#?}");
        let told: serde_json::Value = serde_json::from_str(&checked.out).unwrap();
        assert_eq!(told["warnings"], 0, "{recipe}: {checked:#?}");
        let layout = place.zoo(&["fmt", "--check", recipe]);
        assert_eq!(layout.code, 0, "{recipe}: {layout:#?}");
        let profiles = told["recipes"][0]["profiles"].as_array().unwrap();
        assert!(!profiles.is_empty(), "{recipe}");
        for profile in profiles.iter().map(|profile| profile.as_str().unwrap()) {
            let planned = place.zoo(&["plan", "--json", "--profile", profile, recipe]);
            assert_eq!(planned.code, 0, "{recipe}, {profile}: {planned:#?}");
            serde_json::from_str::<serde_json::Value>(&planned.out).unwrap();
        }
    }
}
