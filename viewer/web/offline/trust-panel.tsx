/** Whether the recording is as a gateway signed it, and by whose key: the first thing that a standalone page shows. */
import { useCallback, useEffect, useState } from 'react';
import type { DragEvent, ReactNode } from 'react';
import type { OfflineAbout } from '#schemas/offline/page.js';
import { NamedValues } from '../parts/basics.js';
import type { NamedRows } from '../parts/basics.js';
import { bytes, clock, moment } from '../parts/format.js';
import { SafeText } from '../parts/safe-text.js';
import type { Keeper } from './keeper.js';
import type { Checked } from './messages.js';
import { keysIn, trustOf } from './trust.js';
import type { Trust } from './trust.js';

const MAX_KEY_FILE = 1 << 20;

export function TrustPanel({
  about,
  faults,
  keeper,
}: {
  readonly about: OfflineAbout;
  readonly faults: readonly string[];
  readonly keeper: Keeper;
}): ReactNode {
  const [came, setCame] = useState<Checked | null>(null);
  const [own, setOwn] = useState<Checked | null>(null);
  const [keys, setKeys] = useState<readonly string[]>([]);
  const [text, setText] = useState('');
  const [complaint, setComplaint] = useState('');
  useEffect(() => {
    keeper.ask('checked', { kind: 'check', cas: about.cas }).then(
      ({ checked }) => setCame(checked),
      (error: unknown) => setComplaint(error instanceof Error ? error.message : 'the check broke off'),
    );
  }, [about, keeper]);
  const take = useCallback(
    (given: string): void => {
      setText(given);
      const found = keysIn(given);
      setKeys(found);
      setOwn(null);
      setComplaint(
        given.trim() === '' || found.length > 0 ? '' : 'This is no public key: paste the line that begins with ssh-ed25519 or ecdsa-sha2.',
      );
      if (found.length === 0) return;
      keeper.ask('checked', { kind: 'check', cas: found }).then(
        ({ checked }) => setOwn(checked),
        () => setComplaint('This key cannot be read.'),
      );
    },
    [keeper],
  );
  const trust: Trust = came === null ? { kind: 'checking' } : trustOf(came, own, faults);
  const dropped = (event: DragEvent): void => {
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (file === undefined) return take(event.dataTransfer.getData('text'));
    if (file.size > MAX_KEY_FILE) return setComplaint('This file is too large for a public key.');
    void file.text().then(take);
  };
  return (
    <section className="trust-box" aria-label="Trust" onDragOver={(event) => event.preventDefault()} onDrop={dropped}>
      <Verdict trust={trust} keys={keys} cas={about.cas} />
      <div className="trust-key">
        <label htmlFor="ca">Public key of the recording CA, from a source that you trust</label>
        <textarea
          id="ca"
          rows={2}
          spellCheck={false}
          autoComplete="off"
          placeholder="ssh-ed25519 AAAA…   paste it, or drop its file here"
          value={text}
          onChange={(event) => take(event.target.value)}
        />
        <p className={complaint === '' ? 'hint' : 'hint trust-complaint'} role={complaint === '' ? undefined : 'alert'}>
          {complaint === '' ? (
            <>
              <code>steno ca export recording</code> prints it. A key that came with this file proves nothing.
            </>
          ) : (
            <SafeText text={complaint} />
          )}
        </p>
      </div>
    </section>
  );
}

function Verdict({
  trust,
  keys,
  cas,
}: {
  readonly trust: Trust;
  readonly keys: readonly string[];
  readonly cas: readonly string[];
}): ReactNode {
  switch (trust.kind) {
    case 'checking':
      return (
        <div className="trust verdict verdict-unknown" aria-live="polite" data-trust="checking">
          <strong>Checking each block, signature and keyframe</strong>
          <p>Nothing is confirmed yet.</p>
        </div>
      );
    case 'broken':
      return (
        <div className="trust verdict verdict-bad" role="alert" data-trust="broken">
          <strong>Broken: {trust.title}</strong>
          <p>
            <SafeText text={sentence(trust.detail)} />
          </p>
          {trust.until !== null && (
            <p>
              {trust.until === 0
                ? 'No block before it could be confirmed, and nothing is shown of what follows.'
                : `Up to ${clock(trust.until)} nothing was found changed. What follows is not shown.`}
            </p>
          )}
        </div>
      );
    case 'consistent':
      return (
        <div className="trust verdict verdict-unknown" aria-live="polite" data-trust="consistent">
          <strong>Consistent: whole, and signed by the key that came with it</strong>
          <p>Whoever made this file could have made that key too. Paste the CA key that you know, and it becomes proof.</p>
          <Covered trust={trust} keys={cas} />
        </div>
      );
    case 'foreign':
      return (
        <div className="trust verdict verdict-bad" role="alert" data-trust="foreign">
          <strong>Not signed by your key</strong>
          <p>The recording is whole in itself, and no gateway that the pasted key certified has signed it.</p>
        </div>
      );
    case 'verified':
      return (
        <div className="trust verdict verdict-good" aria-live="polite" data-trust="verified">
          <strong>Verified: whole, unaltered, and signed under your key</strong>
          <Covered trust={trust} keys={keys} />
        </div>
      );
  }
}

function Covered({
  trust: { recording, log },
  keys,
}: {
  readonly trust: Extract<Trust, { readonly kind: 'consistent' | 'verified' | 'foreign' }>;
  readonly keys: readonly string[];
}): ReactNode {
  const ended = (end: string): string => (end === 'interrupted' ? ', after an interruption' : '');
  const rows: NamedRows = [
    ['Closed', `${moment(recording.signedAt)}${ended(recording.end)}`],
    ['Signed by', <SafeText key="gateway" text={`gateway ${recording.gateway}, as its no. ${recording.counter}`} />],
    ['Covers', `${recording.blocks} blocks, ${bytes(recording.bytes)} of lines, ${recording.keyframes} keyframes drawn again`],
    [
      'Event log',
      log === null
        ? 'the recording names none'
        : log.kind === 'verified'
          ? `${log.blocks} blocks, ${bytes(log.bytes)}, closed ${moment(log.signedAt)}${ended(log.end)}`
          : 'not finished when this was exported; no fault so far',
    ],
    [
      'Last hash',
      <code key="head" title={recording.head}>
        {recording.head.slice(0, 24)}…
      </code>,
    ],
    [
      keys.length === 1 ? 'Key' : 'Keys',
      keys.map((line) => (
        <code key={line} title={line}>
          <SafeText text={`${line.split(' ')[0] ?? ''} …${(line.split(' ')[1] ?? '').slice(-16)}`} />
        </code>
      )),
    ],
  ];
  return (
    <details className="covered">
      <summary>What was checked</summary>
      <NamedValues rows={rows} />
    </details>
  );
}

function sentence(text: string): string {
  return text === '' ? '' : `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}
