//! `TemplateService`.

use std::sync::Arc;

use service_kit::reason::{self, FieldViolation, Reason};
use tonic::{Request, Response, Status};
use voltgate_proto::email::v1 as api;
use voltgate_proto::email::v1::template_service_server::TemplateService;

use crate::State;
use crate::template::{Language, Template, Templates};
use crate::words;

pub(super) struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl TemplateService for Grpc {
    async fn list_templates(
        &self,
        _request: Request<api::ListTemplatesRequest>,
    ) -> Result<Response<api::ListTemplatesResponse>, Status> {
        let templates = Template::ALL.iter().map(|template| api::Template {
            name: template.name().to_owned(),
            languages: Templates::languages(*template)
                .map(|language| language.tag().to_owned())
                .collect(),
        });
        Ok(Response::new(api::ListTemplatesResponse {
            templates: templates.collect(),
        }))
    }

    async fn preview_template(
        &self,
        request: Request<api::PreviewTemplateRequest>,
    ) -> Result<Response<api::Preview>, Status> {
        let request = request.into_inner();
        let language = language(request.language).map_err(|problem| reason::invalid(vec![problem]))?;
        let template = Template::parse(&request.name)
            .ok_or_else(|| Reason::NotFound.status("There is no template of this name"))?;
        let preview = self.0.composer.preview(template, language);
        let (rendered, mail) = preview.map_err(|error| reason::internal(&error))?;
        Ok(Response::new(api::Preview {
            language: rendered.language.tag().to_owned(),
            subject: rendered.subject,
            text: rendered.text,
            html: rendered.html,
            message: String::from_utf8_lossy(&mail.bytes).into_owned(),
        }))
    }
}

fn language(tag: Option<String>) -> Result<Language, FieldViolation> {
    let tag = tag.map(|tag| words::language("language", tag)).transpose()?;
    Ok(Language::of(tag.as_deref()))
}
