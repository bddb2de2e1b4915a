/**
 * Confirms with a second factor that a session may start, or that kubectl may continue. Where a role requires this, ssh and kubectl
 * show the address of this page.
 */
import { useEffect, useState } from 'react';
import type { ReactNode } from 'react';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { ConfirmationFacts } from '#schemas/api/people/confirmations.js';
import { ApiFailure } from '../parts/api.js';
import { ask } from '../parts/endpoints.js';
import { useTitle } from '../parts/basics.js';
import { useAnswer } from '../parts/use-json.js';
import { Card, Field, Form, useTask } from './card.js';
import { passkeysWorkHere, provePasskey } from './passkey.js';
import { SignIn } from './sign-in.js';

/** The token is in the fragment and is removed from the address immediately. */
let token: string | null = null;
function takeToken(): string {
  if (location.hash.length > 1) {
    token = location.hash.slice(1);
    history.replaceState(null, '', location.pathname);
  }
  return token ?? '';
}

export function ConfirmPage({ onSignedIn }: { readonly onSignedIn: (me: Me) => void }): ReactNode {
  useTitle('Confirm a session');
  const [given] = useState(takeToken);
  const { data: methods } = useAnswer('GET /api/login/methods', {});
  const [facts, setFacts] = useState<ConfirmationFacts | ApiFailure | null>(null);
  const [done, setDone] = useState<'approved' | 'denied' | null>(null);
  const [code, setCode] = useState('');
  const { busy, failure, run } = useTask();
  const look = (): void =>
    void ask('POST /api/confirm/facts', { body: { token: given } }).then(setFacts, (error: unknown) => setFacts(error as ApiFailure));
  useEffect(look, [given]);

  const kubernetes = facts !== null && !(facts instanceof ApiFailure) && facts.kind === 'kubernetes';
  if (done !== null) {
    return (
      <Card>
        <h1>{done === 'approved' ? 'Confirmed' : 'Denied'}</h1>
        <p role="status">
          {done === 'approved'
            ? kubernetes
              ? 'Run the command again: for five minutes kubectl is not asked once more. You can close this page.'
              : 'The terminal goes on by itself. You can close this page.'
            : kubernetes
              ? 'kubectl stays refused. If you did not run it, tell your security team: somebody has your certificate.'
              : 'The session does not start. If you did not begin it, tell your security team: somebody has your certificate.'}
        </p>
      </Card>
    );
  }
  if (facts === null || methods === null)
    return (
      <Card>
        <div className="waiting" aria-busy="true" />
      </Card>
    );
  if (facts instanceof ApiFailure) {
    return (
      <Card>
        <h1>Nothing waits here</h1>
        <p role="alert">
          It was confirmed already, waited too long (a minute for SSH, five for kubectl), or belongs to another user than the one signed in
          here. Connect or run the command again for a new address.
        </p>
      </Card>
    );
  }
  const decide = (approve: boolean, proof: object): void =>
    run(async () => {
      await ask('POST /api/confirm/decision', { body: { token: given, approve, ...proof } });
      setDone(approve ? 'approved' : 'denied');
    });
  const withPasskey = (): void =>
    run(async () => {
      const response = await provePasskey();
      await ask('POST /api/confirm/decision', { body: { token: given, approve: true, response } });
      setDone('approved');
    });
  const passkey = facts.passkey && methods.passkeys && passkeysWorkHere(methods.origin);
  const byForm = facts.totp || facts.by === 'sign-in';
  return (
    <Card>
      <h1>{kubernetes ? 'Let kubectl go on?' : 'Is this session yours?'}</h1>
      <p className="user-code session-name">{kubernetes ? facts.node : `${facts.login}@${facts.node}`}</p>
      {kubernetes && <p>Confirms sessions and changes on this Kubernetes cluster for five minutes.</p>}
      <dl className="facts-list">
        <div>
          <dt>As</dt>
          <dd>{facts.user}</dd>
        </div>
        <div>
          <dt>From</dt>
          <dd>
            <code>{facts.source_address}</code>
            {facts.source_address !== facts.browser_address && (
              <span className="differs"> — not the address of this browser, {facts.browser_address}</span>
            )}
          </dd>
        </div>
      </dl>
      {facts.by === 'sign-in' && !facts.fresh ? (
        <>
          <p>Sign in again to confirm it.</p>
          <SignIn
            user={facts.user}
            onSignedIn={(me) => {
              onSignedIn(me);
              look();
            }}
          />
        </>
      ) : (
        <Form failure={failure} onSubmit={() => decide(true, facts.by === 'sign-in' ? {} : { code: code.trim() })}>
          {passkey && byForm && (
            <button type="button" className="way" disabled={busy} onClick={withPasskey}>
              Confirm with a passkey
            </button>
          )}
          {!passkey && !byForm && <p className="notice">Passkeys of yours do not work at this address. Open {methods.origin}.</p>}
          {facts.totp && (
            <Field
              label="Code of your authenticator app"
              name="code"
              autoComplete="one-time-code"
              inputMode="numeric"
              required
              minLength={6}
              maxLength={8}
              value={code}
              onChange={(event) => setCode(event.target.value)}
            />
          )}
          <div className="two">
            <button type="button" className="secondary" disabled={busy} onClick={() => decide(false, {})}>
              Deny
            </button>
            {byForm && (
              <button type="submit" className="primary" disabled={busy}>
                Confirm
              </button>
            )}
            {passkey && !byForm && (
              <button type="button" className="primary" disabled={busy} onClick={withPasskey}>
                Confirm with a passkey
              </button>
            )}
          </div>
        </Form>
      )}
    </Card>
  );
}
