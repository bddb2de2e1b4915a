/**
 * Verification, on this page or on the user's own machine. The page says what it checked and which keys it trusted. Page and keys come
 * from the server that keeps the recording, so users who distrust that server use the command and a CA key that they already have.
 */
import { useEffect, useState } from 'react';
import type { ReactNode } from 'react';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { bytes, clock, moment } from '../parts/format.js';
import { Copy, NamedValues } from '../parts/basics.js';
import type { NamedRows } from '../parts/basics.js';
import { SafeText } from '../parts/safe-text.js';
import type { Refused, Verified } from './outcome.js';
import './verify.css';
import { verifySession } from './verifying.js';
import type { FoundLog, Verifying } from './verifying.js';

export function VerifyPanel({ session }: { readonly session: SessionInfo }): ReactNode {
  const [round, setRound] = useState(0);
  const [state, setState] = useState<Verifying | null>(null);
  useEffect(() => (round === 0 ? undefined : verifySession(session, setState)), [round]); // eslint-disable-line react-hooks/exhaustive-deps
  const running = state?.kind === 'downloading' || state?.kind === 'checking' || state?.kind === 'log';
  return (
    <div className="verify">
      <div aria-live="polite">
        {state === null && (
          <p>
            Downloads the recording and its log of kernel events, and checks each block against the hash chain, the gateway’s signature and
            the recording CA, in this browser. It counts as an export.
          </p>
        )}
        {running && <Progress state={state} session={session} />}
        {state?.kind === 'failed' && (
          <div className="verdict verdict-unknown">
            <strong>Not checked</strong>
            <p>{sentence(state.reason)}</p>
          </div>
        )}
        {state?.kind === 'outcome' && <Shown state={state} session={session} />}
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
  readonly state: Extract<Verifying, { readonly kind: 'downloading' | 'checking' | 'log' }>;
  readonly session: SessionInfo;
}): ReactNode {
  if (state.kind === 'log') {
    return (
      <div className="verify-progress">
        <p>The recording is good. Checking its event log</p>
        <progress aria-label="Checking the event log" />
      </div>
    );
  }
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
  state: { outcome, log, cas },
  session,
}: {
  readonly state: Extract<Verifying, { readonly kind: 'outcome' }>;
  readonly session: SessionInfo;
}): ReactNode {
  if (outcome.kind === 'verified') return <VerifiedPanel outcome={outcome} log={log} cas={cas} />;
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
  return <RefusedPanel outcome={outcome} of="" />;
}

/** `of`: which of the two files, if that is not obvious. */
function RefusedPanel({ outcome, of }: { readonly outcome: Refused; readonly of: '' | 'event log' }): ReactNode {
  const where = outcome.block === null ? '' : `: ${of === '' ? '' : 'its '}block ${outcome.block}`;
  return (
    <div className="verdict verdict-bad" role="alert">
      <strong>{of === '' ? `Not verified${where}` : `Event log not verified${where}`}</strong>
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

function VerifiedPanel({
  outcome,
  log,
  cas,
}: {
  readonly outcome: Verified;
  readonly log: FoundLog | null;
  readonly cas: readonly string[];
}): ReactNode {
  const checked = log?.outcome.kind === 'verified' ? log.outcome : null;
  const rows: NamedRows = [
    ['Who', <SafeText key="who" text={outcome.who} />],
    ['Began', moment(outcome.startedAt)],
    ['Closed', closedAt(outcome)],
    ['Signed by', <SafeText key="gateway" text={`gateway ${outcome.gateway}, as its no. ${outcome.counter}`} />],
    ['Covers', `${outcome.blocks} blocks, ${bytes(outcome.bytes)} of lines`],
    ...(checked === null
      ? []
      : ([['Event log', `${checked.blocks} blocks, ${bytes(checked.bytes)} of rows, closed ${closedAt(checked)}`]] as const)),
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
    <>
      {log !== null && checked === null && <LogFault log={log} />}
      <div className="verdict verdict-good">
        <strong>
          {log === null
            ? 'Verified: whole and unaltered'
            : checked === null
              ? 'The recording itself is whole and unaltered'
              : 'Verified: recording and event log, whole and unaltered'}
        </strong>
        <NamedValues rows={rows} />
      </div>
    </>
  );
}

/** A log that has not been closed is not a fault yet; an altered log is. */
function LogFault({ log: { outcome, unfinished } }: { readonly log: FoundLog }): ReactNode {
  if (outcome.kind === 'verified') return null;
  const missing = outcome.code === 'VERIFY_MISSING_PART';
  // A missing part between existing ones will not be filled later.
  if (!unfinished || (missing && outcome.block !== null)) return <RefusedPanel outcome={outcome} of="event log" />;
  return (
    <div className="verdict verdict-unknown">
      <strong>{missing ? 'Event log missing' : 'Event log not finished'}</strong>
      <p>
        {missing
          ? 'The recording names a signed log of kernel events, and nothing of it is stored.'
          : 'What is stored of the log shows no fault, and its end is not there.'}{' '}
        The node closes it when the last process of the session has ended and its gateway can be reached. If that is long ago, the rest was
        withheld or lost.
      </p>
    </div>
  );
}

function closedAt({ signedAt, end }: { readonly signedAt: number; readonly end: string }): string {
  return `${moment(signedAt)}${end === 'interrupted' ? ', after an interruption' : ''}`;
}

/** The key as `steno ca export recording` prints it; for a comparison by eye, its end is enough. */
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
