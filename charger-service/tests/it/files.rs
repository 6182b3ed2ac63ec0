//! Firmware that operators upload, and files as they see them (rule 14 of the OCPP decisions).

use charger_service::Settings;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::{Request, Status};
use voltgate_proto::google::api::HttpBody;
use voltgate_proto::ocpp::v1::file_service_client::FileServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason, settings};

const MEBIBYTE: usize = 1024 * 1024;

/// Bytes that tell where they stand.
pub fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at * 31 / 7 % 251).unwrap()).collect()
}

pub fn bodies(bytes: &[u8]) -> Vec<HttpBody> {
    let body = |data: &[u8]| HttpBody {
        data: data.to_vec().into(),
        ..HttpBody::default()
    };
    bytes.chunks(100_000).map(body).collect()
}

/// A message with the name, then those with the bytes.
pub fn messages(name: &str, bytes: &[u8]) -> Vec<UploadFirmwareRequest> {
    let first = UploadFirmwareRequest {
        name: name.to_owned(),
        body: None,
    };
    let rest = bodies(bytes).into_iter().map(|body| UploadFirmwareRequest {
        name: String::new(),
        body: Some(body),
    });
    std::iter::once(first).chain(rest).collect()
}

/// What a download is, with its metadata.
pub struct Downloaded {
    pub bytes: Vec<u8>,
    pub metadata: tonic::metadata::MetadataMap,
}

impl Downloaded {
    pub fn said(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).map(|value| value.to_str().unwrap())
    }
}

pub async fn read(response: tonic::Response<tonic::Streaming<HttpBody>>) -> Result<Downloaded, Status> {
    let (metadata, mut bodies, _) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(body) = bodies.message().await? {
        assert_eq!(body.content_type, "application/octet-stream");
        bytes.extend_from_slice(&body.data);
    }
    Ok(Downloaded { bytes, metadata })
}

impl Service {
    pub fn files(&self) -> FileServiceClient<tonic::transport::Channel> {
        FileServiceClient::new(self.channel.clone())
    }

    pub async fn upload_firmware(&self, name: &str, bytes: &[u8]) -> Result<File, Status> {
        let request = self.asks(tokio_stream::iter(messages(name, bytes)));
        self.files()
            .upload_firmware(request)
            .await
            .map(tonic::Response::into_inner)
    }

    pub async fn list_files(&self, request: ListFilesRequest) -> Result<ListFilesResponse, Status> {
        let listed = self.files().list_files(self.asks(request)).await;
        listed.map(tonic::Response::into_inner)
    }

    pub async fn download(&self, id: &str, range: Option<&str>) -> Result<Downloaded, Status> {
        let mut request = self.asks(DownloadFileRequest { id: id.to_owned() });
        if let Some(range) = range {
            request.metadata_mut().insert("range", range.parse().unwrap());
        }
        read(self.files().download_file(request).await?).await
    }

    pub async fn delete_file(&self, id: &str) -> Result<(), Status> {
        let request = self.asks(DeleteFileRequest { id: id.to_owned() });
        self.files().delete_file(request).await.map(tonic::Response::into_inner)
    }

    pub async fn pieces(&self) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM ocpp.file_chunk");
        count.fetch_one(&self.pool).await.unwrap()
    }
}

/// Rule 14.
#[tokio::test]
async fn firmware_comes_out_as_it_went_in_whole_or_in_part() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let bytes = content(2 * MEBIBYTE + 12_345);
    let file = service.upload_firmware("twin22-2.4.2.bin", &bytes).await.unwrap();
    assert_eq!(
        (file.kind.as_str(), file.name.as_str()),
        ("firmware", "twin22-2.4.2.bin")
    );
    assert_eq!(usize::try_from(file.size), Ok(bytes.len()));
    let whole = service.download(&file.id, None).await.unwrap();
    assert!(whole.bytes == bytes);
    assert_eq!(whole.said("voltgate-body-length"), Some(&*bytes.len().to_string()));
    assert_eq!(
        whole.said("content-disposition"),
        Some(r#"attachment; filename="twin22-2.4.2.bin""#)
    );
    assert_eq!(whole.said("content-range"), None);
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=262143-262144", 262_143..262_145),
        ("bytes=1000000-", 1_000_000..bytes.len()),
    ] {
        let part = service.download(&file.id, Some(range)).await.unwrap();
        assert!(part.bytes == bytes[expected.clone()], "{range}");
        let said = format!("bytes {}-{}/{}", expected.start, expected.end - 1, bytes.len());
        assert_eq!(part.said("content-range"), Some(&*said));
    }
    let beyond = service.download(&file.id, Some("bytes=99999999-")).await.unwrap();
    assert!(beyond.bytes == bytes && beyond.said("content-range").is_none());
    for unknown in ["nothing", "01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e05"] {
        let status = service.download(unknown, None).await.err().unwrap();
        assert_eq!(reason(&status), Reason::NotFound);
    }
}

#[tokio::test]
async fn a_name_stands_for_one_firmware_until_that_is_deleted() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let first = service.upload_firmware("a.bin", b"one").await.unwrap();
    assert_eq!(
        first.sha256,
        "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    );
    let again = service.upload_firmware("a.bin", b"one").await.unwrap();
    assert_eq!(again, first);
    let status = service.upload_firmware("a.bin", b"two").await.unwrap_err();
    assert_eq!(reason(&status), Reason::FileExists);
    assert_eq!(service.pieces().await, 1);
    let second = service.upload_firmware("b.bin", b"two").await.unwrap();

    let all = async |page_size, page_token: String| {
        let request = ListFilesRequest {
            page_size,
            page_token,
            ..ListFilesRequest::default()
        };
        service.list_files(request).await.unwrap()
    };
    let page = all(1, String::new()).await;
    assert_eq!(page.files, [second]);
    let page = all(1, page.next_page_token).await;
    assert_eq!((page.files, page.next_page_token.as_str()), (vec![first.clone()], ""));
    for (kind, identity) in [(Some("log"), None), (None, Some("nobody"))] {
        let none = ListFilesRequest {
            kind: kind.map(str::to_owned),
            identity: identity.map(str::to_owned),
            ..ListFilesRequest::default()
        };
        assert_eq!(service.list_files(none).await.unwrap().files, []);
    }

    service.delete_file(&first.id).await.unwrap();
    let status = service.delete_file(&first.id).await.unwrap_err();
    assert_eq!(reason(&status), Reason::NotFound);
    assert_eq!(service.pieces().await, 1);
    service.upload_firmware("a.bin", b"two").await.unwrap();

    let actions: Vec<String> = sqlx::query_scalar("SELECT action FROM ocpp.audit ORDER BY id")
        .fetch_all(&service.pool)
        .await
        .unwrap();
    assert_eq!(
        actions,
        [
            "firmware.uploaded",
            "firmware.uploaded",
            "file.deleted",
            "firmware.uploaded"
        ]
    );
}

#[tokio::test]
async fn what_is_no_name_or_empty_is_refused_and_nothing_is_kept_of_it() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for name in ["", "../a", "a b"] {
        let status = service.upload_firmware(name, b"x").await.unwrap_err();
        assert_eq!(reason(&status), Reason::InvalidRequest, "{name}");
    }
    let status = service.upload_firmware("a.bin", b"").await.unwrap_err();
    assert_eq!(reason(&status), Reason::InvalidRequest);
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM ocpp.file")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn a_file_that_is_too_large_or_finds_no_room_leaves_nothing_behind() {
    let database = Database::create().await;
    let small = Settings {
        charger_file_largest_mib: 1,
        charger_file_total_mib: 2,
        ..settings()
    };
    let service = Service::start_with(&database, small).await;
    let status = service
        .upload_firmware("a.bin", &content(MEBIBYTE + 1))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::PayloadTooLarge);
    assert_eq!(service.pieces().await, 0);
    for name in ["a.bin", "b.bin"] {
        service.upload_firmware(name, &content(MEBIBYTE)).await.unwrap();
    }
    let status = service.upload_firmware("c.bin", b"x").await.unwrap_err();
    assert_eq!(reason(&status), Reason::StorageFull);
    assert_eq!(service.pieces().await, 8);
}

#[tokio::test]
async fn without_a_role_nobody_gets_at_files() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let status = service
        .files()
        .upload_firmware(Request::new(tokio_stream::iter(messages("a.bin", b"x"))))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::MissingCredentials);
    let status = service
        .files()
        .list_files(Request::new(ListFilesRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::MissingCredentials);
}
