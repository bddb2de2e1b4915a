/**
 * Approves a login of `steno login`: shows the code, where the request came from and what it would grant, and asks. An attacker who
 * sends somebody their own code hopes for a quick yes, so the page first says what to compare.
 */
import { useEffect, useState } from 'react';
import type { ReactNode } from 'react';
import type { DeviceLoginFacts } from '#schemas/api/people/logins.js';
import type { Me } from '#schemas/api/front/sign-in.js';
import { duration } from '../parts/format.js';
import { ask } from '../parts/endpoints.js';
import { useTitle } from '../parts/basics.js';
import { SafeText } from '../parts/safe-text.js';
import { Card, Field, Form, useTask } from './card.js';
import { SignIn } from './sign-in.js';

type Step =
  | { readonly kind: 'ask' }
  | { readonly kind: 'facts'; readonly facts: DeviceLoginFacts }
  | { readonly kind: 'again'; readonly facts: DeviceLoginFacts }
  | { readonly kind: 'done'; readonly approved: boolean };

export function DeviceLoginPage({ onSignedIn }: { readonly onSignedIn: (me: Me) => void }): ReactNode {
  useTitle('Approve a login');
  const [code, setCode] = useState(new URLSearchParams(location.search).get('code') ?? '');
  const [step, setStep] = useState<Step>({ kind: 'ask' });
  const { busy, failure, run } = useTask();
  const look = (): void =>
    run(async () => setStep({ kind: 'facts', facts: await ask('POST /api/login/device/facts', { body: { user_code: code.trim() } }) }));
  useEffect(() => {
    if (code !== '') look();
    // Runs once, for the code in the address.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);

  if (step.kind === 'done') {
    return (
      <Card>
        <h1>{step.approved ? 'Approved' : 'Denied'}</h1>
        <p role="status">
          {step.approved
            ? 'Your terminal goes on by itself. You can close this page.'
            : 'Nobody was logged in. If you did not start this login, tell your security team: somebody may be trying to get in as you.'}
        </p>
      </Card>
    );
  }
  if (step.kind === 'ask') {
    return (
      <Card>
        <h1>Approve a login</h1>
        <p>Enter the code that your terminal shows.</p>
        <Form failure={failure} onSubmit={look}>
          <Field
            label="Code"
            name="user-code"
            autoComplete="off"
            required
            minLength={8}
            maxLength={16}
            placeholder="XXXX-XXXX"
            className="user-code-input"
            value={code}
            onChange={(event) => setCode(event.target.value)}
          />
          <button type="submit" className="primary" disabled={busy}>
            Next
          </button>
        </Form>
      </Card>
    );
  }
  const { facts } = step;
  if (step.kind === 'again') {
    return (
      <Card>
        <h1>Confirm that it is you</h1>
        <p>Your sign-in is a while ago, or was by a link. Sign in again to approve the login {facts.user_code}.</p>
        <SignIn
          onSignedIn={(me) => {
            onSignedIn(me);
            look();
          }}
          user={facts.user}
        />
      </Card>
    );
  }
  const decide = (approve: boolean): void =>
    run(async () => {
      await ask('POST /api/login/device/decision', { body: { user_code: facts.user_code, approve } });
      setStep({ kind: 'done', approved: approve });
    });
  const other = facts.source_address !== facts.browser_address;
  return (
    <Card wide>
      <h1>Log in a terminal?</h1>
      <p>Does your terminal show exactly this code?</p>
      <p className="user-code">{facts.user_code}</p>
      <dl className="facts-list">
        <div>
          <dt>Asked by</dt>
          <dd>
            <SafeText text={facts.client} />
          </dd>
        </div>
        <div>
          <dt>From</dt>
          <dd>
            <code>{facts.source_address}</code>
            {other ? (
              <span className="differs"> — not the address of this browser, {facts.browser_address}</span>
            ) : (
              <span className="hint"> — the same as this browser</span>
            )}
          </dd>
        </div>
        <div>
          <dt>Grants</dt>
          <dd>
            a certificate for <strong>{facts.user}</strong> with {facts.roles.join(', ')}, for {duration(facts.max_ttl * 1000)}
            <span className="hint"> — logins {facts.logins.map((login) => (login === '*' ? 'any but root' : login)).join(', ')}</span>
          </dd>
        </div>
      </dl>
      <p className="notice caution" role="note">
        Approve only if you ran <code>steno login</code> yourself just now. Nobody from IT or support will ever send you a code or a link to
        approve: whoever does is trying to get in as you.
      </p>
      <Form failure={failure} onSubmit={() => (facts.fresh ? decide(true) : setStep({ kind: 'again', facts }))}>
        <div className="two">
          <button type="button" className="secondary" disabled={busy} onClick={() => decide(false)}>
            Deny
          </button>
          <button type="submit" className="primary" disabled={busy}>
            {facts.fresh ? 'Approve' : 'Sign in again to approve'}
          </button>
        </div>
      </Form>
    </Card>
  );
}
