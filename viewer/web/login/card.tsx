/** Building blocks of the login pages: a card, fields, a form that waits for its answer, recovery codes. */
import { useEffect, useId, useRef, useState } from 'react';
import type { InputHTMLAttributes, ReactNode, SubmitEvent } from 'react';
import { encode } from 'uqr';
import { ApiFailure } from '../parts/api.js';
import { Failure } from '../parts/basics.js';

export function Card({ children, wide = false }: { readonly children: ReactNode; readonly wide?: boolean }): ReactNode {
  return (
    <main className="sign-in">
      <div className={wide ? 'sign-in-card wide' : 'sign-in-card'}>
        <p className="brand">
          <span className="brand-dot" aria-hidden="true" />
          Steno
        </p>
        {children}
      </div>
    </main>
  );
}

export function Field({
  label,
  hint,
  ...input
}: { readonly label: string; readonly hint?: string } & InputHTMLAttributes<HTMLInputElement>): ReactNode {
  const id = useId();
  return (
    <div className="login-field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        spellCheck={false}
        autoCapitalize="off"
        {...(hint === undefined ? {} : { 'aria-describedby': `${id}-hint` })}
        {...input}
      />
      {hint !== undefined && (
        <span className="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
    </div>
  );
}

/** Runs one task at a time; reports whether it is running and how it failed. */
export function useTask(): {
  readonly busy: boolean;
  readonly failure: ApiFailure | null;
  readonly run: (work: () => Promise<void>) => void;
  readonly clear: () => void;
} {
  const [state, setState] = useState<{ busy: boolean; failure: ApiFailure | null }>({ busy: false, failure: null });
  const running = useRef(false);
  const run = (work: () => Promise<void>): void => {
    if (running.current) return;
    running.current = true;
    setState({ busy: true, failure: null });
    work()
      .then(
        () => setState({ busy: false, failure: null }),
        (error: unknown) =>
          setState({
            busy: false,
            failure:
              error instanceof ApiFailure ? error : new ApiFailure('INTERNAL', 'something went wrong in this page', 'Load it again.'),
          }),
      )
      .finally(() => {
        running.current = false;
      });
  };
  return { ...state, run, clear: () => setState({ busy: false, failure: null }) };
}

export function Form({
  onSubmit,
  failure,
  children,
}: {
  readonly onSubmit: () => void;
  readonly failure: ApiFailure | null;
  readonly children: ReactNode;
}): ReactNode {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    onSubmit();
  };
  return (
    <form className="login-form" onSubmit={submit}>
      {failure !== null && <Failure error={failure} />}
      {children}
    </form>
  );
}

/** The address for an authenticator app as a QR code. Dark on light in every theme, as scanners expect. */
export function QrCode({ text }: { readonly text: string }): ReactNode {
  const { data, size } = encode(text, { ecc: 'M', border: 3 });
  const path = data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : []))).join('');
  return (
    <svg
      className="qr"
      viewBox={`0 0 ${size} ${size}`}
      role="img"
      aria-label="QR code for your authenticator app"
      shapeRendering="crispEdges"
    >
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}

/** Shown once: leaving the page requires confirming that the codes were kept. */
export function RecoveryCodes({ codes, onKept }: { readonly codes: readonly string[]; readonly onKept: () => void }): ReactNode {
  const [kept, setKept] = useState(false);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const text = codes.join('\n');
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>
        Keep your recovery codes
      </h1>
      <p>
        Without your device, each of these signs you in once: instead of the code of the app, or, if you have no password, with your name
        alone. They are shown only now.
      </p>
      <ol className="codes">
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ol>
      <p className="codes-actions">
        <button type="button" className="quiet" onClick={() => void navigator.clipboard.writeText(text)}>
          Copy
        </button>
        <a className="quiet" download="steno-recovery-codes.txt" href={`data:text/plain;charset=utf-8,${encodeURIComponent(`${text}\n`)}`}>
          Save as a file
        </a>
      </p>
      <label className="check">
        <input type="checkbox" checked={kept} onChange={(event) => setKept(event.target.checked)} />
        <span>I have kept them in a safe place</span>
      </label>
      <button type="button" className="primary" disabled={!kept} onClick={onKept}>
        Continue
      </button>
    </>
  );
}
