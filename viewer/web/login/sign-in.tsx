/**
 * Signing in by connector, by passkey, or by name, password and code. Name and password are not sent until the code is entered too, and
 * one answer covers all three, so it does not reveal which of them was wrong.
 */
import { useEffect, useRef, useState } from 'react';
import type { ReactNode } from 'react';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { ApiFailure } from '../parts/api.js';
import { ask } from '../parts/endpoints.js';
import { Copy, useTitle } from '../parts/basics.js';
import { useAnswer } from '../parts/use-json.js';
import { Card, Field, Form, useTask } from './card.js';
import { passkeysWorkHere, provePasskey } from './passkey.js';

/** Messages for the codes that a provider's callback puts into the address. */
const refusals: Readonly<Record<string, string>> = {
  LOGIN_FAILED: 'This login was not accepted. If you think it should be, ask an administrator: the audit says why.',
  LOGIN_ATTEMPT_OVER: 'This login took too long, was finished already, or was begun in another browser. Begin again.',
  SSO_REFUSED:
    'The answer of the identity provider could not be accepted. Try again; if it stays so, ask an administrator: the audit says why.',
  SSO_REPLAYED: 'This answer of the identity provider was used before. Begin again.',
  SSO_PROVIDER:
    'The identity provider cannot be reached, or answers what it should not. Try again; an administrator finds the reason in the audit.',
  SSO_NO_ROLE:
    'The identity provider knows you, but nothing it says of you gives you a role here. Ask for membership in a group that does.',
  SSO_NAME: 'What the identity provider calls you cannot be your name here, or is somebody else’s. Ask an administrator.',
  LOCKED: 'A lock is in force on this user. Ask whoever set it.',
};

interface SignInProps {
  /** Why a link was refused, or null. */
  readonly refusal: string | null;
  readonly onSignedIn: (me: Me) => void;
}

export function SignInPage({ refusal, onSignedIn }: SignInProps): ReactNode {
  useTitle('Sign in');
  const query = new URLSearchParams(location.search);
  const code = query.get('refused');
  const told =
    refusal !== null
      ? `${refusal.charAt(0).toUpperCase()}${refusal.slice(1)}. Each link signs in one browser, once, and only for a few minutes.`
      : code === null
        ? null
        : (refusals[code] ?? 'This login could not be finished. Begin again.');
  return (
    <Card>
      <h1>{refusal !== null ? 'This link no longer works' : 'Sign in'}</h1>
      {told !== null && (
        <p role="alert" className="notice">
          {told}
        </p>
      )}
      <SignIn onSignedIn={onSignedIn} connector={code === null ? query.get('auth') : null} />
      <details className="other-ways" open={refusal !== null}>
        <summary>With a certificate instead</summary>
        <p>Whoever holds a certificate gets a link that works once. In a terminal, run:</p>
        <Copy text="steno login --web" label="Copy the command" />
        <p className="hint">and open the address it prints. On the machine that Steno runs on, its start prints one, too.</p>
      </details>
    </Card>
  );
}

/** `connector`: start with this one immediately. `user`: only this user may continue. */
export function SignIn({
  onSignedIn,
  connector = null,
  user,
}: {
  readonly onSignedIn: (me: Me) => void;
  readonly connector?: string | null;
  readonly user?: string;
}): ReactNode {
  const { data: methods, error } = useAnswer('GET /api/login/methods', {});
  const { busy, failure, run, clear } = useTask();
  const begun = useRef(false);
  const start = (name: string): void =>
    run(async () => {
      const next = `${location.pathname}${location.search}`;
      const { url } = await ask('POST /api/login/connectors/:name', { params: { name }, body: { next } });
      location.assign(url);
      await new Promise(() => undefined);
    });
  useEffect(() => {
    if (connector === null || begun.current || methods?.connectors.some(({ name }) => name === connector) !== true) return;
    begun.current = true;
    start(connector);
  });
  if (methods === null) return error === null ? <div className="waiting" aria-busy="true" /> : <Failed error={error} />;
  const passkey = (): void =>
    run(async () => onSignedIn(await ask('POST /api/login/passkey', { body: { response: await provePasskey() } })));
  const buttons = methods.connectors.length > 0 || methods.passkeys;
  return (
    <>
      {buttons && (
        <div className="ways">
          {methods.connectors.map(({ name, label }) => (
            <button key={name} type="button" className="way" disabled={busy} onClick={() => start(name)}>
              Continue with {label}
            </button>
          ))}
          {methods.passkeys && passkeysWorkHere(methods.origin) && (
            <button type="button" className="way" disabled={busy} onClick={passkey}>
              Use a passkey
            </button>
          )}
          {methods.passkeys && !passkeysWorkHere(methods.origin) && (
            <p className="hint">
              Passkeys work at <a href={methods.origin}>{methods.origin}</a>
            </p>
          )}
        </div>
      )}
      {methods.local && (
        <>
          {buttons && <p className="or">or</p>}
          <Local key={user} busy={busy} failure={failure} run={run} clear={clear} onSignedIn={onSignedIn} user={user} />
        </>
      )}
    </>
  );
}

function Local({
  busy,
  failure,
  run,
  clear,
  onSignedIn,
  user,
}: ReturnType<typeof useTask> & { readonly onSignedIn: (me: Me) => void; readonly user: string | undefined }): ReactNode {
  const [name, setName] = useState(user ?? '');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState<string | null>(null);
  const submit = (): void => {
    if (code === null) {
      clear();
      setCode('');
      return;
    }
    run(async () => {
      try {
        onSignedIn(await ask('POST /api/login/local', { body: { user: name.trim().toLowerCase(), password, code: code.trim() } }));
      } catch (error) {
        setPassword('');
        setCode(null);
        throw error;
      }
    });
  };
  if (code === null) {
    return (
      <Form onSubmit={submit} failure={failure}>
        <Field
          label="User"
          name="username"
          autoComplete="username"
          required
          maxLength={63}
          value={name}
          readOnly={user !== undefined}
          onChange={(event) => setName(event.target.value)}
        />
        <Field
          label="Password"
          name="password"
          type="password"
          autoComplete="current-password"
          maxLength={256}
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
        <button type="submit" className="primary" disabled={busy}>
          Next
        </button>
        <p className="hint">Without your passkey, and without a password? Leave it empty and have a recovery code ready.</p>
      </Form>
    );
  }
  return (
    <Form onSubmit={submit} failure={failure}>
      <Field
        label={password === '' ? 'Recovery code' : 'Code of your authenticator app'}
        name="code"
        autoComplete={password === '' ? 'off' : 'one-time-code'}
        inputMode="text"
        required
        autoFocus
        minLength={6}
        maxLength={32}
        value={code}
        hint={
          password === ''
            ? 'One of those you were given with your passkey. Each counts once.'
            : 'Six digits. Without your device, enter a recovery code.'
        }
        onChange={(event) => setCode(event.target.value)}
      />
      <div className="two">
        <button type="button" className="secondary" onClick={() => setCode(null)}>
          Back
        </button>
        <button type="submit" className="primary" disabled={busy}>
          Sign in
        </button>
      </div>
    </Form>
  );
}

function Failed({ error }: { readonly error: ApiFailure }): ReactNode {
  return <p role="alert" className="notice">{`${error.message}. ${error.fix}`}</p>;
}
