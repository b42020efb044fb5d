//! Bills, days and months are what they were when quarter-hours are removed; of these the answer says from when on they are kept.

use cortexiq_domain::time::Day;
use cortexiq_projections::fixtures::World;
use cortexiq_projections::store::Sweep;
use cortexiq_projections::{Database, Keep, Store};
use cortexiq_proto::{GetHomeBillRequest, GetHomeHistoryRequest, Resolution};
use cortexiq_queries::Answers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_stay_when_quarter_hours_are_removed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("world.db");
    let database = Database::Sqlite(path.clone());
    // From 29 January to 3 April.
    let mut world = World::new(65, 1);
    world.by_time();
    let store = Store::open(&database).await.expect("opens");
    world.fill(&store).await;
    let answers = Answers::new(store.reader().clone());
    let bill = async |month: &str| {
        let request = GetHomeBillRequest { home_id: "ant_001".into(), month: month.into() };
        answers.get_home_bill(&request).await.expect("a bill")
    };
    let history = async |resolution: Resolution, until_time: i64| {
        let (home_id, resolution) = ("ant_001".into(), resolution.into());
        let request = GetHomeHistoryRequest { home_id, resolution, until_time, ..Default::default() };
        answers.get_home_history(&request).await.expect("a history")
    };
    let [march, end] =
        ["2025-03-01", "2025-04-04"].map(|day| day.parse::<Day>().expect("a day").start().time());
    let told = async || {
        let bills = [bill("2025-01").await, bill("2025-02").await, bill("2025-03").await];
        let histories = [history(Resolution::Day, end).await, history(Resolution::Month, end).await];
        (bills, histories.map(|history| history.points))
    };
    let before = told().await;
    assert!(before.0.iter().all(|bill| bill.month_peak_w > 0 && bill.month_peak_time > 0));
    assert_eq!(history(Resolution::QuarterHour, march).await.kept_from_time, 0);

    Sweep::new(Keep { months: 2, runs: 0 }).sweep(&store).await.expect("swept");
    // A day that was not summed up, as when its last quarter-hour was lost, is summed where it is asked for.
    let lost = "DELETE FROM daily WHERE quarter = (SELECT DISTINCT quarter FROM daily ORDER BY quarter DESC LIMIT 1 OFFSET 10)";
    let connection = rusqlite::Connection::open(path).expect("opens");
    assert_eq!(connection.execute(lost, []).expect("done"), 3);
    assert_eq!(told().await, before);
    let quarters = history(Resolution::QuarterHour, march).await;
    assert_eq!((quarters.kept_from_time, quarters.points.len()), (march, 0));
}
