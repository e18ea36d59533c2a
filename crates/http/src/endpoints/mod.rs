//! The endpoints of the API: one entry for each, with its description and its handler.

pub(crate) mod conditions;
pub(crate) mod debug;
pub(crate) mod document;
pub(crate) mod endpoint;
pub(crate) mod events;
#[cfg(test)]
mod example;
pub(crate) mod experiment;
pub(crate) mod features;
pub(crate) mod genres;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod live;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod movies;
pub(crate) mod new_user;
pub(crate) mod page;
pub(crate) mod posters;
pub(crate) mod ranking;
pub(crate) mod ratings;
pub(crate) mod recommendations;
pub(crate) mod search;
pub(crate) mod session;
pub(crate) mod sparrowrecsys;
pub(crate) mod status;
pub(crate) mod stores;
pub(crate) mod users;

/// The routes whose requests take part in experiments.
pub const EXPERIMENT_ROUTES: [&str; 2] =
    [recommendations::RECOMMENDATIONS_PATH, sparrowrecsys::RECOMMENDATIONS_PATH];

use crate::endpoints::endpoint::{Call, Endpoint};
use crate::response::problem::Problem;
use crate::response::reply::Reply;

/// Registers endpoints: an id, the description and the call of the handler. Routing tries them in this order.
macro_rules! endpoints {
    (|$call:ident| $($id:ident: $endpoint:path => $answer:expr;)*) => {
        /// The registered endpoints.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Id {
            $($id),*
        }

        pub(crate) static ENDPOINTS: &[(Id, &Endpoint)] = &[$((Id::$id, &$endpoint)),*];

        /// Calls the handler of an endpoint.
        pub(crate) async fn answer(id: Id, $call: &Call<'_>) -> Result<Reply, Problem> {
            match id {
                $(Id::$id => $answer),*
            }
        }
    };
}

endpoints! { |call|
    RecommendationsForYou: sparrowrecsys::RECOMMENDATIONS => sparrowrecsys::recommendations(call).await;
    Recommendations: recommendations::RECOMMENDATIONS => recommendations::recommend(call).await;
    RecommendationsForNewUser: new_user::RECOMMENDATIONS => new_user::recommend(call).await;
    Home: home::PUBLIC => home::public(call);
    UserHome: home::PERSONAL => home::personal(call).await;
    Movies: movies::LIST => movies::list(call);
    Movie: movies::MOVIE => movies::show(call);
    SimilarMovies: movies::SIMILAR => movies::similar(call);
    MovieFeatures: features::OF_MOVIE => features::of_movie(call).await;
    Genres: genres::LIST => genres::list(call);
    Search: search::SEARCH => search::search(call);
    Users: users::LIST => users::list(call).await;
    User: users::USER => users::show(call).await;
    UserFeatures: features::OF_USER => features::of_user(call).await;
    CreateUser: ratings::CREATE_USER => ratings::create_user(call).await;
    ForgetUser: ratings::FORGET_USER => ratings::forget_user(call).await;
    RateMovie: ratings::PUT => ratings::put(call).await;
    RemoveRating: ratings::DELETE => ratings::delete(call).await;
    RateMovies: ratings::POST => ratings::post(call).await;
    RecordEvents: events::POST => events::post(call).await;
    Events: events::LIST => events::list_events(call).await;
    Models: models::LIST => models::list(call);
    SparrowRecSysMovie: sparrowrecsys::MOVIE => sparrowrecsys::movie(call);
    SparrowRecSysUser: sparrowrecsys::USER => sparrowrecsys::user(call).await;
    SparrowRecSysSimilarMovies: sparrowrecsys::SIMILAR => sparrowrecsys::similar(call);
    SparrowRecSysGenre: sparrowrecsys::GENRE => sparrowrecsys::genre(call);
    Poster: posters::POSTER => posters::show(call).await;
    Session: session::SHOW => Ok(session::show(call));
    SignIn: session::SIGN_IN => session::sign_in(call);
    SignOut: session::SIGN_OUT => session::sign_out(call);
    Description: document::DESCRIPTION => document::show(call, public_endpoints());
    Live: health::LIVE => Ok(health::live());
    Ready: health::READY => health::ready(call);
    Metrics: metrics::METRICS => metrics::show(call);
    Status: status::PAGE => Ok(status::page(call));
    StatusJson: status::JSON => Ok(status::json(call));
    Configuration: debug::CONFIGURATION => debug::configuration(call);
    LogLevel: debug::LOG_LEVEL => debug::log_level(call);
    SetLogLevel: debug::SET_LOG_LEVEL => debug::set_log_level(call);
}

/// The endpoints of the public port, which the description of the API contains.
pub(crate) fn public_endpoints() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.iter().map(|(_, endpoint)| *endpoint).filter(|e| e.exposure.is_public())
}
