/** An invitation: the invited user chooses a way to sign in and is signed in. The link is used up only in the last step. */
import { useEffect, useState } from 'react';
import type { ReactNode } from 'react';
import type { InvitationFacts } from '#schemas/api/people/account.js';
import type { Me } from '#schemas/api/front/sign-in.js';
import { ApiFailure } from '../parts/api.js';
import { ask } from '../parts/endpoints.js';
import type { Given } from '../parts/endpoints.js';
import { useTitle } from '../parts/basics.js';
import { Card, Field, Form, RecoveryCodes, useTask } from './card.js';
import { makePasskey, passkeysWorkHere } from './passkey.js';
import { AuthenticatorApp } from './second-factor.js';

/** The token of the link, removed from the address immediately so that it does not stay in the history. */
let taken: string | null = null;
function takeToken(): string | null {
  if (location.hash.length > 1) {
    taken = location.hash.slice(1);
    history.replaceState(null, '', location.pathname);
  }
  return taken;
}

type Step =
  | { readonly kind: 'choose' }
  | { readonly kind: 'password' }
  | { readonly kind: 'app'; readonly password: string }
  | { readonly kind: 'codes'; readonly me: Me; readonly codes: readonly string[] };

export function InvitationPage({ onSignedIn }: { readonly onSignedIn: (me: Me) => void }): ReactNode {
  useTitle('Invitation');
  const [facts, setFacts] = useState<InvitationFacts | ApiFailure | null>(null);
  const [step, setStep] = useState<Step>({ kind: 'choose' });
  const { busy, failure, run, clear } = useTask();
  const [token] = useState(() => takeToken() ?? '');
  useEffect(() => {
    ask('POST /api/invitation', { body: { token } }).then(setFacts, (error: unknown) => setFacts(error as ApiFailure));
  }, [token]);

  if (facts === null)
    return (
      <Card>
        <div className="waiting" aria-busy="true" />
      </Card>
    );
  if (facts instanceof ApiFailure) {
    return (
      <Card>
        <h1>This invitation no longer works</h1>
        <p role="alert">It was used already, has expired, or the link is not complete. Ask an administrator for a new one.</p>
      </Card>
    );
  }
  const accept = async (body: Omit<Given<'POST /api/invitation/accept'>['body'], 'token'>): Promise<void> => {
    const { me, recovery_codes: codes } = await ask('POST /api/invitation/accept', { body: { token, ...body } });
    taken = null;
    if (codes.length === 0) onSignedIn(me);
    else setStep({ kind: 'codes', me, codes });
  };
  const passkey = (): void =>
    run(async () =>
      accept({
        device: {
          kind: 'passkey',
          label: 'Passkey',
          response: await makePasskey(() => ask('POST /api/invitation/passkey', { body: { token } })),
        },
      }),
    );

  switch (step.kind) {
    case 'choose':
      return (
        <Card>
          <h1>Welcome, {facts.user}</h1>
          <p>You are invited to Steno{facts.roles.length > 0 ? ` as ${facts.roles.join(', ')}` : ''}. Choose how you will sign in.</p>
          <Form failure={failure} onSubmit={() => undefined}>
            {facts.passkeys && passkeysWorkHere(location.origin) && (
              <button type="button" className="choice" disabled={busy} onClick={passkey}>
                <strong>A passkey</strong>
                <span>Your finger, face or PIN on this device, a phone or a security key. Nothing to remember, nothing to phish.</span>
              </button>
            )}
            <button
              type="button"
              className="choice"
              disabled={busy}
              onClick={() => {
                clear();
                setStep({ kind: 'password' });
              }}
            >
              <strong>A password and an authenticator app</strong>
              <span>At least twelve characters, and a six-digit code from an app on your phone.</span>
            </button>
          </Form>
        </Card>
      );
    case 'password':
      return (
        <Card>
          <ChoosePassword
            user={facts.user}
            check={(password) => ask('POST /api/invitation/password', { body: { token, password } })}
            onChosen={(password) => setStep({ kind: 'app', password })}
          />
        </Card>
      );
    case 'app':
      return (
        <Card>
          <AuthenticatorApp
            begin={() => ask('POST /api/invitation/totp', { body: { token } })}
            onBack={() => setStep({ kind: 'password' })}
            onCode={(device) => accept({ password: step.password, device })}
          />
        </Card>
      );
    case 'codes':
      return (
        <Card>
          <RecoveryCodes codes={step.codes} onKept={() => onSignedIn(step.me)} />
        </Card>
      );
  }
}

function ChoosePassword({
  user,
  check,
  onChosen,
}: {
  readonly user: string;
  readonly check: (password: string) => Promise<unknown>;
  readonly onChosen: (password: string) => void;
}): ReactNode {
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const { busy, failure, run } = useTask();
  const submit = (): void =>
    run(async () => {
      if (password !== again) throw new ApiFailure('USAGE', 'the two passwords differ', 'Type them again.');
      await check(password);
      onChosen(password);
    });
  return (
    <>
      <h1>Choose a password</h1>
      <Form onSubmit={submit} failure={failure}>
        <input type="text" name="username" autoComplete="username" value={user} readOnly hidden />
        <Field
          label="Password"
          type="password"
          name="new-password"
          autoComplete="new-password"
          required
          minLength={12}
          maxLength={256}
          autoFocus
          value={password}
          hint="Twelve characters or more. A few unrelated words are easy to keep and hard to guess."
          onChange={(event) => setPassword(event.target.value)}
        />
        <Field
          label="Once more"
          type="password"
          name="new-password-again"
          autoComplete="new-password"
          required
          maxLength={256}
          value={again}
          onChange={(event) => setAgain(event.target.value)}
        />
        <button type="submit" className="primary" disabled={busy}>
          Next
        </button>
      </Form>
    </>
  );
}
