//! Stages: the global catalogue.

use aggregates::stage::Stage;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::caller::Caller;
use crate::api::extract::Json;
use crate::app::App;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_stages))
}

/// A stage.
#[derive(Debug, Serialize, ToSchema)]
pub struct StageView {
    id: i64,
    name: &'static str,
    /// `new`, `contacted`, `qualified`, `proposal`, `won` or `lost`.
    #[schema(example = "new")]
    code: &'static str,
    priority: i64,
    /// `open`, `won` or `lost`.
    kind: &'static str,
}

impl From<Stage> for StageView {
    fn from(stage: Stage) -> Self {
        Self {
            id: stage.id(),
            name: stage.name(),
            code: stage.code(),
            priority: stage.id(),
            kind: stage.kind().code(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct StageList {
    stages: Vec<StageView>,
}

/// List stages
#[utoipa::path(get, path = "/stages", tag = "Stages", security(("bearer" = [])),
    responses((status = 200, description = "List of stages", body = StageList), (status = 401, description = "No or bad token")))]
async fn list_stages(_caller: Caller) -> Json<StageList> {
    Json(StageList {
        stages: Stage::ALL.into_iter().map(StageView::from).collect(),
    })
}
