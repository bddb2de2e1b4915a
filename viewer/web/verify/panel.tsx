/**
 * Verifying, here and on one's own machine. The page says what it did and whom it believed: it comes from the server that
 * keeps the recording, so whoever distrusts that server takes the command and a CA key that they had before.
 */
import { useEffect, useState } from 'react';
import type { ReactNode } from 'react';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { bytes, clock, moment } from '../parts/format.js';
import { Copy, NamedValues } from '../parts/basics.js';
import type { NamedRows } from '../parts/basics.js';
import { SafeText } from '../parts/safe-text.js';
import type { Outcome } from './outcome.js';
import './verify.css';
import { verifySession } from './verifying.js';
import type { Verifying } from './verifying.js';

export function VerifyPanel({ session }: { readonly session: SessionInfo }): ReactNode {
  const [round, setRound] = useState(0);
  const [state, setState] = useState<Verifying | null>(null);
  useEffect(() => (round === 0 ? undefined : verifySession(session, setState)), [round]); // eslint-disable-line react-hooks/exhaustive-deps
  const running = state?.kind === 'downloading' || state?.kind === 'checking';
  return (
    <div className="verify">
      <div aria-live="polite">
        {state === null && (
          <p>
            Downloads the recording and checks each block against the hash chain, the gateway’s signature and the recording CA, in this
            browser. It counts as an export.
          </p>
        )}
        {running && <Progress state={state} session={session} />}
        {state?.kind === 'failed' && (
          <div className="verdict verdict-unknown">
            <strong>Not checked</strong>
            <p>{sentence(state.reason)}</p>
          </div>
        )}
        {state?.kind === 'outcome' && <Shown outcome={state.outcome} cas={state.cas} session={session} />}
      </div>
      {!running && (
        <button type="button" className={state === null ? 'verify-run primary' : 'verify-run'} onClick={() => setRound(round + 1)}>
          {state === null ? 'Verify now' : 'Verify again'}
        </button>
      )}
      <div className="verify-own">
        <h3>On your own machine</h3>
        <p>This page comes from the server that keeps the recording. The command checks with the CA key that it got when you logged in:</p>
        <Copy text={`steno verify ${session.id}`} label="Copy the command" />
        <p className="hint">
          An exported recording needs no server at all: <code>steno verify FILE --ca KEY</code>
        </p>
      </div>
    </div>
  );
}

function Progress({
  state,
  session,
}: {
  readonly state: { readonly kind: 'downloading' | 'checking'; readonly share: number };
  readonly session: SessionInfo;
}): ReactNode {
  const downloading = state.kind === 'downloading';
  return (
    <div className="verify-progress">
      <p>
        {downloading ? `Downloading ${bytes(session.stored_bytes)}` : `Checking ${bytes(session.recording_bytes)} of lines`}
        <span>{Math.floor(state.share * 100)} %</span>
      </p>
      <progress max={1} value={state.share} aria-label={downloading ? 'Downloading' : 'Checking'} />
    </div>
  );
}

function Shown({
  outcome,
  cas,
  session,
}: {
  readonly outcome: Outcome;
  readonly cas: readonly string[];
  readonly session: SessionInfo;
}): ReactNode {
  if (outcome.kind === 'verified') return <Verified outcome={outcome} cas={cas} />;
  const open = outcome.code === 'VERIFY_TRUNCATED' && session.state !== 'sealed' && session.state !== 'interrupted';
  if (open) {
    return (
      <div className="verdict verdict-unknown">
        <strong>No fault so far, and not finished</strong>
        <p>
          What is stored, up to {clock(outcome.goodUntil)}, shows no fault. Whether it is whole cannot be said yet: the last signature comes
          when the session is over and stored.
        </p>
      </div>
    );
  }
  return (
    <div className="verdict verdict-bad" role="alert">
      <strong>{outcome.block === null ? 'Not verified' : `Not verified: block ${outcome.block}`}</strong>
      <p>
        {sentence(outcome.message)} <SafeText text={sentence(outcome.detail)} />
      </p>
      {outcome.block !== null && (
        <p>
          {outcome.goodUntil === 0
            ? 'No block before it could be confirmed.'
            : `Everything up to ${clock(outcome.goodUntil)} of session time is as it was signed.`}
        </p>
      )}
    </div>
  );
}

function Verified({
  outcome,
  cas,
}: {
  readonly outcome: Outcome & { readonly kind: 'verified' };
  readonly cas: readonly string[];
}): ReactNode {
  const rows: NamedRows = [
    ['Who', <SafeText key="who" text={outcome.who} />],
    ['Began', moment(outcome.startedAt)],
    ['Closed', `${moment(outcome.signedAt)}${outcome.end === 'interrupted' ? ', after an interruption' : ''}`],
    ['Signed by', <SafeText key="gateway" text={`gateway ${outcome.gateway}, as its no. ${outcome.counter}`} />],
    ['Covers', `${outcome.blocks} blocks, ${bytes(outcome.bytes)} of lines`],
    ...(outcome.keyframes === 0
      ? []
      : ([['Keyframes', `${outcome.keyframes}, not checked here: steno verify compares what they show`]] as const)),
    [
      'Last hash',
      <code key="head" title={outcome.head}>
        {outcome.head.slice(0, 16)}…
      </code>,
    ],
    [cas.length === 1 ? 'CA key' : 'CA keys', <CaKeys key="cas" cas={cas} />],
  ];
  return (
    <div className="verdict verdict-good">
      <strong>Verified: whole and unaltered</strong>
      <NamedValues rows={rows} />
    </div>
  );
}

/** The key itself, as `steno ca export recording` prints it: to be compared by eye, its end is enough. */
function CaKeys({ cas }: { readonly cas: readonly string[] }): ReactNode {
  return cas.map((line) => {
    const [type = '', key = ''] = line.split(' ');
    return (
      <code key={line} title={line}>
        {type} …{key.slice(-12)}
      </code>
    );
  });
}

function sentence(text: string): string {
  return text === '' ? '' : `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}
