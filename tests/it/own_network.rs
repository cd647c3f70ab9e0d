//! The example of a network and a data set of one's own.

#[path = "../../crates/mftma-study/examples/own_network.rs"]
mod example;

#[test]
fn a_network_of_ones_own_goes_from_permutation_to_a_figure() {
    let folder = tempfile::tempdir().unwrap();
    let found = example::study(folder.path()).unwrap();
    assert!(found.memorized > 0.9, "{} memorized", found.memorized);
    assert_eq!(found.capacities.len(), 4);
    for (group, capacities) in &found.capacities {
        assert_eq!(
            capacities.len(),
            6,
            "the input, four layers and poolings, the last"
        );
        assert!(
            capacities.iter().all(|c| *c > 0.0 && *c < 2.0),
            "{group}: {capacities:?}"
        );
    }
    let layers: Vec<&str> = found
        .rewound
        .iter()
        .map(|(layer, _)| layer.as_str())
        .collect();
    assert_eq!(layers, ["nothing", "conv1", "conv2", "fc1"]);
    let [nothing, .., last] = &found.rewound[..] else {
        panic!("{:?}", found.rewound)
    };
    assert!(
        last.1 != nothing.1,
        "putting a layer back changes something"
    );
    let clipped = mftma_draw::clipped_texts(&found.figure);
    assert!(clipped.is_empty(), "{clipped:?}");

    // Run again in the same folder, it goes on from the files: the same network, the same numbers.
    let again = example::study(folder.path()).unwrap();
    assert_eq!(again.figure, found.figure);
    assert_eq!(again.rewound, found.rewound);
}
