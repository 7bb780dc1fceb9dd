//! From a request to its answer.

use crate::features::{
    completion, definition, explain, fixes, folding, format, highlight, hints, hover, references, rename,
    selection, signature, symbols,
};
use crate::project::Project;
use lsp_server::{ErrorCode, RequestId, Response};
use lsp_types::{
    CodeActionRequest, CodeLensRequest, CompletionRequest, CompletionResolveRequest, CompletionResponse,
    Definition, DefinitionRequest, DefinitionResponse, DocumentFormattingRequest, DocumentHighlightRequest,
    DocumentRangeFormattingRequest, DocumentSymbolRequest, DocumentSymbolResponse, ExecuteCommandRequest,
    FoldingRangeRequest, HoverRequest, InlayHintRequest, PrepareRenamePlaceholder, PrepareRenameRequest,
    PrepareRenameResult, ReferencesRequest, RenameRequest, Request, SelectionRangeRequest,
    SemanticTokensRangeRequest, SemanticTokensRequest, SignatureHelpRequest, WorkspaceSymbolRequest,
    WorkspaceSymbolResponse,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A request that nobody has answered yet, or its answer.
struct Call<'p> {
    project: &'p mut Project,
    request: lsp_server::Request,
    answer: Option<Response>,
}

/// Answers a request. A mistake of the server's own costs this answer alone.
pub(crate) fn answer(project: &mut Project, request: lsp_server::Request) -> Response {
    let (id, method) = (request.id.clone(), request.method.clone());
    let answered = catch_unwind(AssertUnwindSafe(|| route(project, request)));
    answered
        .unwrap_or_else(|_| failed(id, ErrorCode::InternalError, format!("`{method}` made the server panic")))
}

fn route(project: &mut Project, request: lsp_server::Request) -> Response {
    let mut call = Call { project, request, answer: None };
    call.on::<CompletionRequest>(|project, params| {
        Ok(Some(CompletionResponse::CompletionList(completion::complete(project, &params))))
    });
    call.on::<CompletionResolveRequest>(|_, item| Ok(completion::resolve(item)));
    call.on::<HoverRequest>(|project, params| {
        Ok(hover::hover(project, &params.text_document_position_params))
    });
    call.on::<SignatureHelpRequest>(|project, params| {
        Ok(signature::help(project, &params.text_document_position_params))
    });
    call.on::<DefinitionRequest>(|project, params| {
        let found = definition::definition(project, &params.text_document_position_params);
        Ok(found.map(|all| DefinitionResponse::Definition(Definition::LocationList(all))))
    });
    call.on::<ReferencesRequest>(|project, params| {
        let with_definition = params.context.include_declaration;
        Ok(references::references(project, &params.text_document_position_params, with_definition))
    });
    call.on::<DocumentHighlightRequest>(|project, params| {
        Ok(references::highlights(project, &params.text_document_position_params))
    });
    call.on::<PrepareRenameRequest>(|project, params| {
        let found = references::renamable(project, &params.text_document_position_params);
        let named = |(range, placeholder)| {
            PrepareRenameResult::PrepareRenamePlaceholder(PrepareRenamePlaceholder { range, placeholder })
        };
        Ok(found.map(named))
    });
    call.on::<RenameRequest>(|project, params| rename::rename(project, &params).map(Some));
    call.on::<DocumentSymbolRequest>(|project, params| {
        let all = symbols::of_document(project, &params.text_document.uri);
        Ok(Some(DocumentSymbolResponse::DocumentSymbolList(all)))
    });
    call.on::<WorkspaceSymbolRequest>(|project, params| {
        let all = symbols::of_workspace(project, &params.query);
        Ok(Some(WorkspaceSymbolResponse::WorkspaceSymbolList(all)))
    });
    call.on::<CodeActionRequest>(|project, params| Ok(Some(fixes::actions(project, &params))));
    call.on::<CodeLensRequest>(|project, params| {
        Ok(Some(explain::lenses(project, &params.text_document.uri)))
    });
    call.on::<ExecuteCommandRequest>(|project, params| {
        if params.command != explain::COMMAND {
            return Err(format!("there is no command `{}`", params.command));
        }
        explain::explain(project, params.arguments.as_deref().unwrap_or_default()).map(Some)
    });
    call.on::<DocumentFormattingRequest>(|project, params| {
        Ok(Some(format::edits(project, &params.text_document.uri, None)))
    });
    call.on::<DocumentRangeFormattingRequest>(|project, params| {
        Ok(Some(format::edits(project, &params.text_document.uri, Some(params.range))))
    });
    call.on::<FoldingRangeRequest>(|project, params| {
        Ok(Some(folding::ranges(project, &params.text_document.uri)))
    });
    call.on::<SelectionRangeRequest>(|project, params| {
        Ok(Some(selection::ranges(project, &params.text_document.uri, &params.positions)))
    });
    call.on::<SemanticTokensRequest>(|project, params| {
        Ok(Some(highlight::highlights(project, &params.text_document.uri, None)))
    });
    call.on::<SemanticTokensRangeRequest>(|project, params| {
        Ok(Some(highlight::highlights(project, &params.text_document.uri, Some(params.range))))
    });
    call.on::<InlayHintRequest>(|project, params| {
        Ok(Some(hints::hints(project, &params.text_document.uri, params.range)))
    });
    let Call { request, answer, .. } = call;
    answer.unwrap_or_else(|| {
        failed(request.id, ErrorCode::MethodNotFound, format!("there is no request `{}`", request.method))
    })
}

impl Call<'_> {
    /// Answers requests of one sort. An error is a sentence for the user.
    fn on<R: Request>(&mut self, with: impl FnOnce(&mut Project, R::Params) -> Result<R::Result, String>) {
        if self.answer.is_some() || self.request.method != String::from(R::METHOD) {
            return;
        }
        let id = self.request.id.clone();
        let params = serde_json::from_value::<R::Params>(std::mem::take(&mut self.request.params));
        self.answer = Some(match params {
            Ok(params) => match with(self.project, params) {
                Ok(result) => Response::new_ok(id, result),
                Err(sentence) => failed(id, ErrorCode::RequestFailed, sentence),
            },
            Err(error) => failed(id, ErrorCode::InvalidParams, error.to_string()),
        });
    }
}

fn failed(id: RequestId, code: ErrorCode, sentence: String) -> Response {
    Response::new_err(id, code as i32, sentence)
}
