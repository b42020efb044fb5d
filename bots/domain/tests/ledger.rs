//! The ledger of a seed is always the same, and its market crosses regions.

mod common;

use common::plan;
use cortexiq_domain::ledger::{Plan, ledger};
use cortexiq_proto::ContractReason;

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let bytes = |plan: &Plan| serde_json::to_string(&ledger(plan)).expect("a ledger is JSON");
    let one = plan(7, "2025-03-28", 5, 10);
    let first = bytes(&one);
    assert_eq!(first, bytes(&one));
    assert_eq!(first, bytes(&Plan { threads: 2, ..one.clone() }));
    assert_eq!(first, bytes(&Plan { threads: 7, ..one.clone() }));
    assert_ne!(first, bytes(&Plan { seed: 8, ..one }));
}

#[test]
fn homes_sign_with_providers_of_other_regions_in_the_first_week() {
    let week = ledger(&plan(1, "2025-01-01", 7, 50));
    assert_eq!(week.contracts, 150, "every home signs at its first look");
    assert!(week.cross_region_contracts > 30, "{}", week.cross_region_contracts);
    assert_eq!(week.measured, 150 * 7 * 96);
}

#[test]
fn contracts_begin_two_days_after_acceptance_and_never_overlap() {
    let run = ledger(&plan(2, "2025-01-01", 70, 10));
    for contract in &run.confirmed {
        let accepted = cortexiq_domain::time::Day::containing(contract.accepted_time);
        assert_eq!(contract.start_time, accepted.plus(2).start().time());
    }
    let switches = run.confirmed.len() - 30;
    assert!(switches > 0, "someone switches when the first pause is over");
    let mut contracts = run.confirmed.clone();
    contracts.sort_by(|a, b| (&a.home_id, a.start_time).cmp(&(&b.home_id, b.start_time)));
    for pair in contracts.windows(2).filter(|pair| pair[0].home_id == pair[1].home_id) {
        assert!(pair[1].accepted_time - pair[0].accepted_time >= 29 * 86_400, "{pair:?}");
    }
}

#[test]
fn a_contract_that_runs_out_is_renewed_without_a_gap() {
    // With a single provider nobody can switch, so every contract lives its twelve months.
    let mut plan = plan(3, "2025-01-01", 380, 2);
    plan.providers.truncate(1);
    let run = ledger(&plan);
    let (first, second): (Vec<_>, Vec<_>) =
        run.confirmed.iter().partition(|contract| contract.reason() == ContractReason::New);
    assert_eq!(first.len(), 6);
    assert!(!second.is_empty(), "the offer beats the spot tariff for someone");
    for renewal in second {
        assert_eq!(renewal.reason(), ContractReason::Renewal);
        let before =
            first.iter().find(|contract| contract.home_id == renewal.home_id).expect("its first contract");
        assert!(renewal.start_time >= before.end_time, "periods never overlap");
    }
}
