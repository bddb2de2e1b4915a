/** A user's own account: devices, password, recovery codes. Any change needs a sign-in within the last ten minutes. */
import { useState } from 'react';
import type { ReactNode } from 'react';
import type { Me } from '#schemas/api/front/sign-in.js';
import type { MfaDevice } from '#schemas/api/people/users.js';
import { moment } from '../parts/format.js';
import { ask } from '../parts/endpoints.js';
import type { Given } from '../parts/endpoints.js';
import { Failure, useTitle } from '../parts/basics.js';
import { SafeText } from '../parts/safe-text.js';
import { useAnswer } from '../parts/use-json.js';
import { Field, Form, RecoveryCodes, useTask } from './card.js';
import { makePasskey, passkeysWorkHere } from './passkey.js';
import { AuthenticatorApp } from './second-factor.js';
import { SignIn } from './sign-in.js';

type Doing =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'app' }
  | { readonly kind: 'password' }
  | { readonly kind: 'codes'; readonly codes: readonly string[] }
  | { readonly kind: 'sign-in' };

export function AccountPage({ onSignedIn }: { readonly onSignedIn: (me: Me) => void }): ReactNode {
  useTitle('Account');
  const { data: account, error, reload } = useAnswer('GET /api/account', {});
  const [doing, setDoing] = useState<Doing>({ kind: 'nothing' });
  const [said, setSaid] = useState<string | null>(null);
  const { busy, failure, run } = useTask();
  const done = (text: string, codes: readonly string[] = []): void => {
    setSaid(text);
    setDoing(codes.length > 0 ? { kind: 'codes', codes } : { kind: 'nothing' });
    reload();
  };
  if (error !== null)
    return (
      <div className="page narrow">
        <Failure error={error} />
      </div>
    );
  if (account === null) return <div className="page narrow" aria-busy="true" />;
  const local = account.kind === 'local';
  const add = async (device: Given<'POST /api/account/devices'>['body']['device'], text: string): Promise<void> => {
    const { recovery_codes: codes } = await ask('POST /api/account/devices', { body: { device } });
    done(text, codes);
  };
  const begin = (what: () => void): void => {
    setSaid(null);
    if (account.fresh) what();
    else setDoing({ kind: 'sign-in' });
  };
  const addPasskey = (): void =>
    run(async () =>
      add(
        { kind: 'passkey', label: passkeyLabel(account.devices), response: await makePasskey(() => ask('POST /api/account/passkey', {})) },
        'The passkey is added.',
      ),
    );

  return (
    <div className="page narrow">
      <div className="page-head">
        <h1>{account.name}</h1>
        <span className="hint">{account.roles.join(', ')}</span>
      </div>
      {said !== null && doing.kind === 'nothing' && (
        <p role="status" className="notice good">
          {said}
        </p>
      )}
      {failure !== null && <Failure error={failure} />}
      {doing.kind === 'sign-in' && (
        <Panel title="Confirm that it is you" onClose={() => setDoing({ kind: 'nothing' })}>
          <p>To change how you sign in, sign in again.</p>
          <SignIn
            user={account.name}
            onSignedIn={(me) => {
              onSignedIn(me);
              setDoing({ kind: 'nothing' });
              reload();
            }}
          />
        </Panel>
      )}
      {doing.kind === 'app' && (
        <Panel title="" onClose={null}>
          <AuthenticatorApp
            begin={() => ask('POST /api/account/totp', {})}
            onBack={() => setDoing({ kind: 'nothing' })}
            onCode={(device) => add(device, 'The authenticator app is added.')}
          />
        </Panel>
      )}
      {doing.kind === 'codes' && (
        <Panel title="" onClose={null}>
          <RecoveryCodes codes={doing.codes} onKept={() => done('Your recovery codes are new; the old ones no longer count.')} />
        </Panel>
      )}
      {doing.kind === 'password' && (
        <NewPassword
          onClose={() => setDoing({ kind: 'nothing' })}
          onDone={() => done('Your password is changed, and other browsers are signed out.')}
          user={account.name}
        />
      )}
      {!local && (
        <p className="notice">You sign in through {account.connector ?? 'a machine identity'}; password and devices are kept there.</p>
      )}
      {local && (
        <>
          <section className="facts">
            <h2>Devices</h2>
            <ul className="devices">
              {account.devices.map((device) => (
                <Device
                  key={device.id}
                  device={device}
                  busy={busy}
                  onRemove={() =>
                    begin(() =>
                      run(async () => {
                        await ask('DELETE /api/account/devices/:name', { params: { name: device.id } });
                        done('The device is removed, and other browsers are signed out.');
                      }),
                    )
                  }
                />
              ))}
              {account.devices.length === 0 && (
                <li className="hint">
                  None yet. An administrator can invite you with <code>steno users reset {account.name}</code>.
                </li>
              )}
            </ul>
            <div className="row-actions">
              {account.passkeys && passkeysWorkHere(location.origin) && (
                <button type="button" className="secondary" disabled={busy} onClick={() => begin(addPasskey)}>
                  Add a passkey
                </button>
              )}
              <button type="button" className="secondary" disabled={busy} onClick={() => begin(() => setDoing({ kind: 'app' }))}>
                Add an authenticator app
              </button>
            </div>
          </section>
          <section className="facts">
            <h2>Password and recovery codes</h2>
            <p>
              {`You have ${account.password ? 'a' : 'no'} password, and ${account.recovery_codes_left === 0 ? 'no' : account.recovery_codes_left} recovery ${account.recovery_codes_left === 1 ? 'code' : 'codes'}.`}
              {!account.password && ' Each code signs you in once, by your name, when you have no passkey at hand.'}
            </p>
            <div className="row-actions">
              <button type="button" className="secondary" disabled={busy} onClick={() => begin(() => setDoing({ kind: 'password' }))}>
                {account.password ? 'Change the password' : 'Set a password'}
              </button>
              <button
                type="button"
                className="secondary"
                disabled={busy}
                onClick={() =>
                  begin(() =>
                    run(async () =>
                      setDoing({
                        kind: 'codes',
                        codes: (await ask('POST /api/account/recovery-codes', {})).recovery_codes,
                      }),
                    ),
                  )
                }
              >
                New recovery codes
              </button>
            </div>
          </section>
        </>
      )}
    </div>
  );
}

function Device({
  device,
  busy,
  onRemove,
}: {
  readonly device: MfaDevice;
  readonly busy: boolean;
  readonly onRemove: () => void;
}): ReactNode {
  const [sure, setSure] = useState(false);
  return (
    <li className="device">
      <span>
        <strong>
          <SafeText text={device.label} />
        </strong>
        <span className="hint">
          {device.kind === 'totp' ? 'app' : 'passkey'} · added {moment(device.created_at)} ·{' '}
          {device.last_used_at === null ? 'not used yet' : `used ${moment(device.last_used_at)}`}
        </span>
      </span>
      <button
        type="button"
        className={sure ? 'danger' : 'quiet'}
        disabled={busy}
        onClick={() => (sure ? onRemove() : setSure(true))}
        onBlur={() => setSure(false)}
        aria-label={`Remove ${device.label}`}
      >
        {sure ? 'Remove for good' : 'Remove'}
      </button>
    </li>
  );
}

function NewPassword({
  user,
  onDone,
  onClose,
}: {
  readonly user: string;
  readonly onDone: () => void;
  readonly onClose: () => void;
}): ReactNode {
  const [password, setPassword] = useState('');
  const { busy, failure, run } = useTask();
  return (
    <Panel title="New password" onClose={onClose}>
      <Form
        failure={failure}
        onSubmit={() =>
          run(async () => {
            await ask('PUT /api/account/password', { body: { password } });
            onDone();
          })
        }
      >
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
          hint="Twelve characters or more. It counts together with an authenticator app."
          onChange={(event) => setPassword(event.target.value)}
        />
        <button type="submit" className="primary" disabled={busy}>
          Save
        </button>
      </Form>
    </Panel>
  );
}

function Panel({
  title,
  onClose,
  children,
}: {
  readonly title: string;
  readonly onClose: (() => void) | null;
  readonly children: ReactNode;
}): ReactNode {
  return (
    <section className="panel">
      {title !== '' && <h1>{title}</h1>}
      {children}
      {onClose !== null && (
        <button type="button" className="quiet" onClick={onClose}>
          Not now
        </button>
      )}
    </section>
  );
}

function passkeyLabel(devices: readonly MfaDevice[]): string {
  const count = devices.filter(({ kind }) => kind === 'passkey').length;
  return count === 0 ? 'Passkey' : `Passkey ${count + 1}`;
}
