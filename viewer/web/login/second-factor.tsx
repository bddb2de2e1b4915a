/** Adds an authenticator app: a QR code to scan, and the first code as proof that the app has it. */
import { useEffect, useRef, useState } from 'react';
import type { ReactNode } from 'react';
import type { TotpEnrolment } from '#schemas/api/people/account.js';
import type { ApiFailure } from '../parts/api.js';
import { Failure } from '../parts/basics.js';
import { Field, Form, QrCode, useTask } from './card.js';

interface AppProps {
  readonly begin: () => Promise<TotpEnrolment>;
  readonly onCode: (device: {
    readonly kind: 'totp';
    readonly ceremony: string;
    readonly code: string;
    readonly label: string;
  }) => Promise<void>;
  readonly onBack: () => void;
}

export function AuthenticatorApp({ begin, onCode, onBack }: AppProps): ReactNode {
  const [enrolment, setEnrolment] = useState<TotpEnrolment | null>(null);
  const [refused, setRefused] = useState<ApiFailure | null>(null);
  const [code, setCode] = useState('');
  const { busy, failure, run } = useTask();
  const begun = useRef(false);
  useEffect(() => {
    if (begun.current) return;
    begun.current = true;
    begin().then(setEnrolment, (error: unknown) => setRefused(error as ApiFailure));
  }, [begin]);
  if (refused !== null) return <Failure error={refused} />;
  if (enrolment === null) return <div className="waiting" aria-busy="true" />;
  return (
    <>
      <h1>Add your authenticator app</h1>
      <p>Scan this with the app, or type the key, then enter the code that the app shows.</p>
      <QrCode text={enrolment.uri} />
      <p className="typed-key">
        <code>{enrolment.secret.match(/.{1,4}/g)?.join(' ')}</code>
      </p>
      <Form
        failure={failure}
        onSubmit={() =>
          run(() => onCode({ kind: 'totp', ceremony: enrolment.ceremony, code: code.replace(/\s/g, ''), label: 'Authenticator app' }))
        }
      >
        <Field
          label="Code"
          name="code"
          autoComplete="one-time-code"
          inputMode="numeric"
          pattern="[0-9 ]*"
          required
          minLength={6}
          maxLength={8}
          value={code}
          onChange={(event) => setCode(event.target.value)}
        />
        <div className="two">
          <button type="button" className="secondary" onClick={onBack}>
            Back
          </button>
          <button type="submit" className="primary" disabled={busy}>
            Confirm
          </button>
        </div>
      </Form>
    </>
  );
}
