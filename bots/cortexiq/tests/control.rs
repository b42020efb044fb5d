//! Control of a real simulation through a real mesh, from another gateway than its own.

use cortexiq::mesh::{Mesh, Place, Ports};
use cortexiq::thread::Thread;
use cortexiq_domain::region::Region;
use cortexiq_domain::topics::{self, Procedure};
use cortexiq_proto::{
    ControlResult, PauseRequest, Payload, ResetRequest, ResumeRequest, SetSpeedRequest,
    SimulationStateChanged,
};
use cortexiq_shell::{Mesh as Access, topic};
use cortexiq_simulation::{Config, Simulation};
use macula_sdk::{CallError, Client, Code, Pattern};

async fn call<T: Payload>(
    client: &Client,
    procedure: &Procedure<T, ControlResult>,
    request: T,
) -> Result<ControlResult, CallError> {
    let reply = client.call(&*procedure.name, request.encode_to_vec()).await?;
    Ok(reply.decode().expect("a control result"))
}

#[test]
fn control_tells_the_truth_and_a_restart_goes_on_where_the_clock_was() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mesh = Mesh::start(Ports { base: 0 }).await.expect("the gateways mesh");
        let config = || {
            let mut config = Config::new(Access::at(mesh.url(Place::Hub)));
            config.speed = 3600;
            config
        };
        let first = config();
        let simulation = Thread::spawn("simulation", || Simulation::start(first), Simulation::run).await;
        let simulation = simulation.expect("it starts");
        let client = Client::connect(mesh.url(Place::Region(Region::Brabant))).await.expect("connects");
        let changes = client.subscribe(Pattern::from(topic(topics::STATE_CHANGED.topic))).scope_mesh();
        let mut changes = changes.await.expect("subscribes");

        let bad = call(&client, &topics::SET_SPEED, SetSpeedRequest { speed: 0 }).await;
        let bad = bad.expect_err("nobody goes at 0");
        assert_eq!(bad.code, Code::InvalidArgument);
        assert!(bad.message.starts_with("speed: "), "{bad}");

        let faster = call(&client, &topics::SET_SPEED, SetSpeedRequest { speed: 7200 }).await.expect("good");
        assert_eq!((faster.changed, faster.speed, faster.paused), (true, 7200, false));
        let told = changes.next_message().await.expect("everyone is told");
        let told: SimulationStateChanged = told.decode().expect("a change");
        assert_eq!((told.run, told.speed), (faster.run, 7200));

        let paused = call(&client, &topics::PAUSE, PauseRequest {}).await.expect("good");
        let again = call(&client, &topics::PAUSE, PauseRequest {}).await.expect("good");
        assert_eq!((again.changed, again.simulation_time), (false, paused.simulation_time));
        assert_eq!(again.message, "Already paused.");

        // Another process takes up the run where this one left it.
        simulation.stop().await;
        let second = config();
        let simulation = Thread::spawn("simulation", || Simulation::start(second), Simulation::run).await;
        let simulation = simulation.expect("it starts again");
        let resumed = call(&client, &topics::RESUME, ResumeRequest {}).await.expect("good");
        assert_eq!((resumed.run, resumed.speed, resumed.changed), (paused.run, 7200, true));
        assert!(resumed.simulation_time >= paused.simulation_time);
        assert!(resumed.simulation_time < paused.simulation_time + 3600, "{resumed:?} {paused:?}");

        let reset = call(&client, &topics::RESET_SIMULATION, ResetRequest {}).await.expect("good");
        assert!(reset.run > paused.run);
        assert_eq!(reset.simulation_time, Config::new(Access::default()).start_time);

        client.close().await.expect("closes");
        simulation.stop().await;
        mesh.shutdown().await;
    });
}
