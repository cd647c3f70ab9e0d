use mftma_data::{
    ExampleGroup, LabelPermutation, ManifoldSettings, PermutationScheme, Shortage, draw_manifolds,
    open,
};

#[test]
fn the_embedded_set_needs_no_files_and_is_complete() {
    let dataset = open("glyphs", Some("no such folder".as_ref())).unwrap();
    assert_eq!(
        (dataset.classes(), dataset.image_shape()),
        (94, [1, 32, 32])
    );
    assert_eq!(
        (
            dataset.class_names()[0].as_str(),
            dataset.class_names()[93].as_str()
        ),
        ("!", "~")
    );
    let mut faces = 0;
    for split in [dataset.train(), dataset.test()] {
        // Every typeface draws every character.
        let counts: Vec<usize> = (0..94)
            .map(|class| {
                split
                    .labels()
                    .iter()
                    .filter(|&&label| label == class)
                    .count()
            })
            .collect();
        assert!(
            counts.iter().all(|&count| count == counts[0] && count > 0),
            "{counts:?}"
        );
        faces += counts[0];
        // Every image shows something; the thinnest strokes reach a quarter of full white.
        assert!((0..split.len()).all(|i| split.image(i).iter().any(|&pixel| pixel > 63)));
    }
    assert!(faces >= 120, "{faces} typefaces");
}

#[test]
fn the_embedded_set_carries_the_main_runs_draws() {
    let dataset = open("glyphs", None).unwrap();
    let labels = dataset.train().labels();
    let permutation =
        LabelPermutation::draw(labels, 94, 0.5, PermutationScheme::Permute, 0).unwrap();
    for group in ExampleGroup::ALL {
        let settings = ManifoldSettings {
            manifolds: 94,
            examples: 20,
            seed: 0,
            shortage: Shortage::Refuse,
        };
        let drawn =
            draw_manifolds(group, &permutation, dataset.test().labels(), &settings).unwrap();
        assert_eq!(drawn.points_per_manifold(), vec![20; 94]);
    }
}
