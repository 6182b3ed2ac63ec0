//! What an operator sees of the things that commands change.

use serde_json::Value;
use testbed::Database;
use voltgate_proto::ocpp::v1::charging_profile_service_client::ChargingProfileServiceClient;
use voltgate_proto::ocpp::v1::configuration_service_client::ConfigurationServiceClient;
use voltgate_proto::ocpp::v1::job_service_client::JobServiceClient;
use voltgate_proto::ocpp::v1::local_list_service_client::LocalListServiceClient;
use voltgate_proto::ocpp::v1::reservation_service_client::ReservationServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::Service;
use crate::station::Station;

/// A charge point `CP1` that is connected.
pub async fn connected(database: &Database) -> (Service, Station) {
    let service = Service::start(database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    (service, station)
}

impl Service {
    /// Sends a command to `CP1`, which answers it so. Returns what became of the command.
    pub async fn exchange(&self, station: &mut Station, action: &str, payload: Value, answer: Value) -> Command {
        let sending = self.command("CP1", action, payload.clone(), 30);
        let (id, called, received) = station.called().await;
        assert_eq!((called.as_str(), received), (action, payload));
        station.answer(&id, answer).await;
        sending.await.unwrap().unwrap()
    }

    pub async fn configuration(&self) -> Vec<ConfigurationKey> {
        let request = ListConfigurationRequest {
            identity: "CP1".to_owned(),
            ..Default::default()
        };
        let mut client = ConfigurationServiceClient::new(self.channel.clone());
        let listed = client.list_configuration(self.asks(request)).await.unwrap();
        listed.into_inner().keys
    }

    pub async fn local_list(&self) -> LocalList {
        let request = GetLocalListRequest {
            identity: "CP1".to_owned(),
            ..Default::default()
        };
        let mut client = LocalListServiceClient::new(self.channel.clone());
        client.get_local_list(self.asks(request)).await.unwrap().into_inner()
    }

    /// Newest first.
    pub async fn reservations(&self) -> Vec<Reservation> {
        let request = ListChargePointReservationsRequest {
            identity: "CP1".to_owned(),
            ..Default::default()
        };
        let mut client = ReservationServiceClient::new(self.channel.clone());
        let listed = client.list_charge_point_reservations(self.asks(request)).await.unwrap();
        listed.into_inner().reservations
    }

    pub async fn reservations_of_all(&self, page_size: i32, page_token: &str) -> ListReservationsResponse {
        let request = ListReservationsRequest {
            page_size,
            page_token: page_token.to_owned(),
        };
        let mut client = ReservationServiceClient::new(self.channel.clone());
        client.list_reservations(self.asks(request)).await.unwrap().into_inner()
    }

    pub async fn charging_profiles(&self) -> Vec<ChargingProfile> {
        let request = ListChargingProfilesRequest {
            identity: "CP1".to_owned(),
            ..Default::default()
        };
        let mut client = ChargingProfileServiceClient::new(self.channel.clone());
        let listed = client.list_charging_profiles(self.asks(request)).await.unwrap();
        listed.into_inner().charging_profiles
    }

    pub async fn composite_schedules(&self) -> Vec<CompositeSchedule> {
        let request = ListCompositeSchedulesRequest {
            identity: "CP1".to_owned(),
            ..Default::default()
        };
        let mut client = ChargingProfileServiceClient::new(self.channel.clone());
        let listed = client.list_composite_schedules(self.asks(request)).await.unwrap();
        listed.into_inner().composite_schedules
    }

    /// Newest first, each with its notifications.
    pub async fn jobs(&self) -> Vec<Job> {
        let request = ListJobsRequest {
            identity: "CP1".to_owned(),
            ..Default::default()
        };
        let mut client = JobServiceClient::new(self.channel.clone());
        let listed = client.list_jobs(self.asks(request)).await.unwrap().into_inner();
        let mut jobs = Vec::new();
        for job in listed.jobs {
            assert!(job.notifications.is_empty());
            let request = GetJobRequest {
                identity: "CP1".to_owned(),
                id: job.id,
            };
            jobs.push(client.get_job(self.asks(request)).await.unwrap().into_inner());
        }
        jobs
    }
}
