//! The hook that sees every try of a factor.

use super::{Person, server};

#[tokio::test]
async fn the_hook_sees_right_and_wrong_answers_and_may_refuse_both() {
    let app =
        server(&[("auth.hooks.mfa_verification_attempt.uri", "pg-functions://postgres/public/tried")]).await;
    app.database
        .run(
            "create table public.tries (at bigint generated always as identity, event jsonb);
             create function public.tried(event jsonb) returns jsonb language sql security definer as $$
                insert into public.tries (event) values (event);
                select case when (select count(*) from public.tries) < 3
                    then '{\"decision\": \"continue\"}'::jsonb
                    else '{\"decision\": \"reject\", \"message\": \"enough\"}'::jsonb end
             $$;
             grant execute on function public.tried to public",
        )
        .await;
    let mut ada = Person::new(&app, "ada").await;
    let phone = ada.enrol("my phone").await;

    let wrong = ada.answer(&phone.id, &phone.wrong_code()).await;
    wrong.expect_error(422, "mfa_verification_failed");
    ada.becomes(ada.answer(&phone.id, &phone.code(0)).await);
    let later = ada.sign_in().await;
    let refused =
        later.answer(&phone.id, &phone.code(1)).await.expect_error(403, "mfa_verification_rejected");

    assert_eq!(refused.json()["message"], "enough");
    let seen = "select string_agg(event ->> 'valid' || ' ' || (event ->> 'factor_type'), ', ' order by at)
        from public.tries";
    assert_eq!(app.database.value(seen).await, "false totp, true totp, true totp");
    let levels = "select string_agg(aal::text, ' ' order by aal) from auth.sessions";
    assert_eq!(app.database.value(levels).await, "aal1 aal2");
}
