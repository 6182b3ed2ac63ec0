//! Templates, as they are looked at.

use service_kit::reason::Reason;
use voltgate_proto::email::v1::{ListTemplatesRequest, PreviewTemplateRequest};

use crate::services::{Services, as_bearer, refusal};

#[tokio::test]
async fn every_template_can_be_seen_in_each_of_its_languages() {
    let mut services = Services::start().await;
    let list = as_bearer(&services.operator, ListTemplatesRequest {});
    let templates = services
        .templates
        .list_templates(list)
        .await
        .unwrap()
        .into_inner()
        .templates;
    assert!(templates.is_sorted_by_key(|template| template.name.clone()));
    assert!(templates.len() >= 10);
    for template in templates {
        assert_eq!(template.languages[0], "en");
        for language in template.languages {
            let request = PreviewTemplateRequest {
                name: template.name.clone(),
                language: Some(language.clone()),
            };
            let preview = services
                .templates
                .preview_template(as_bearer(&services.operator, request))
                .await;
            let preview = preview.unwrap().into_inner();
            assert_eq!(preview.language, language);
            assert!(
                preview.html.contains(&format!("<html lang=\"{language}\">")),
                "{}",
                preview.html
            );
            assert!(!preview.subject.is_empty() && preview.text.contains("Voltgate"));
            assert!(preview.message.contains("\r\nTo: mara@example.org\r\n"));
        }
    }
    services.rig.stop().await;
}

#[tokio::test]
async fn a_preview_in_a_language_that_nobody_writes_is_in_english() {
    let mut services = Services::start().await;
    let preview = |name: &str, language: &str| {
        let request = PreviewTemplateRequest {
            name: name.to_owned(),
            language: Some(language.to_owned()),
        };
        as_bearer(&services.admin, request)
    };
    let french = services
        .templates
        .preview_template(preview("welcome", "fr-CA"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (french.language.as_str(), french.subject.as_str()),
        ("en", "Welcome to Voltgate")
    );
    let unknown = services.templates.preview_template(preview("rocket", "en")).await;
    assert_eq!(refusal(unknown), Reason::NotFound);
    let odd = services.templates.preview_template(preview("welcome", "../de")).await;
    assert_eq!(refusal(odd), Reason::InvalidRequest);
    let driver = as_bearer(&services.driver, ListTemplatesRequest {});
    assert_eq!(
        refusal(services.templates.list_templates(driver).await),
        Reason::PermissionDenied
    );
    services.rig.stop().await;
}
