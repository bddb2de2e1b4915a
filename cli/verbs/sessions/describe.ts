/** Kernel events in words, one line each, whatever their texts hold. Tested in describe.test.ts. */
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { gapText } from '#schemas/kernel/kernel-gap.js';
import { isLastRow } from '#schemas/kernel/kernel.js';
import { isReading } from '#schemas/kernel/matters.js';
import { bytes, clock, standardOutput, styled, visible } from '../../terminal/output.js';

/** `0:03.250` */
export function time(ms: number): string {
  return `${clock(ms)}.${String(ms % 1000).padStart(3, '0')}`;
}

const kindWidth = 9;

/** Escapes every text, because the node controls the whole row, including names and reasons. */
function harmless(value: unknown): unknown {
  if (typeof value === 'string') return visible(value);
  if (Array.isArray(value)) return value.map(harmless);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, harmless(part)]));
}

/** The time span, if the event has one. */
function spanOf({ data }: KernelEventInfo): string {
  const { first_ms: first, last_ms: last } = data;
  if (typeof first !== 'number') return '';
  return typeof last === 'number' ? (last > first ? ` ${time(first)} to ${time(last)}` : '') : ` from ${time(first)}`;
}

/** One line, whatever the event's texts hold. */
export function describe(told: KernelEventInfo): string {
  const event = harmless(told) as KernelEventInfo;
  const { out, env } = standardOutput;
  const paint = (style: Parameters<typeof styled>[2], text: string): string => styled(out, env, style, text);
  const what = (title: string): string => paint('cyan', title.padEnd(kindWidth));
  const failed = event.outcome === '' || event.outcome === 'success' ? '' : `  ${paint('red', visible(event.outcome))}`;
  const times = event.count !== null && event.count > 1 && event.kind !== 'gap' ? `  ${paint('dim', `${event.count} times`)}` : '';
  const where = event.address === '' ? '' : `${event.address.includes(':') ? `[${event.address}]` : event.address}:${event.port ?? 0}`;
  const { data } = event;
  const note = (name: string): string => (typeof data[name] === 'string' ? visible(data[name]) : '');
  switch (event.kind) {
    case 'exec':
      return `${what('exec')} ${execution(told)}`;
    case 'exit': {
      const after = paint('dim', `after ${time(Number(data['duration_ms'] ?? 0))}`);
      return `${what('exit')} ${event.outcome === 'success' ? event.name : paint('red', visible(event.name))}  ${after}`;
    }
    case 'file':
      if (event.name === 'content') {
        const { before, sha256_missing: missing } = data;
        const after = event.sha256 === '' ? `not read: ${visible(String(missing))}` : event.sha256;
        return `${what('content')} ${visible(event.path)}  ${paint('dim', `${typeof before === 'string' ? `${visible(before)} before, ` : ''}${after}`)}`;
      }
      if (event.name === 'digest')
        return `${what('digest')} ${visible(event.path)}  ${paint('dim', event.sha256)}${data['sha256_unconfirmed'] === true ? `  ${paint('yellow', 'may be of other bytes than ran')}` : ''}`;
      if (typeof data['matters'] === 'string' && isReading(event.reason)) {
        return `${paint('yellow', 'read'.padEnd(kindWidth))} ${paint('yellow', visible(event.path))}  ${paint('dim', note('matters'))}${failed}${times}`;
      }
      if (event.name === 'map' && event.path === '') return `${what('map')} ${paint('yellow', event.reason)}${failed}${times}`;
      return `${what(event.name)} ${visible(event.path)}${note('from') === '' ? '' : ` ${paint('dim', `from ${note('from')}`)}`}${event.reason === '' ? '' : `  ${paint('dim', event.reason)}`}${failed}${times}`;
    case 'connect':
      return `${what('connect')} ${where === '' ? visible(event.path) : where} ${paint('dim', [visible(event.name), event.reason].filter((text) => text !== '').join(', '))}${failed}${times}`;
    case 'accept':
    case 'listen':
      return `${what(event.kind)} ${where} ${paint('dim', [visible(event.name), visible(event.reason)].filter((text) => text !== '').join(', '))}${failed}`;
    case 'send':
      return `${what('send')} ${where === '' ? visible(event.path) : where} ${paint('dim', `${visible(event.name)}, ${bytes(event.size ?? 0)}`)}${failed}${times}`;
    case 'dns':
      return `${what('dns')} ${visible(event.name)} ${paint('dim', `${visible(event.reason)}, asked of ${where}`)}${failed}${times}`;
    case 'privilege':
      return `${what('become')} uid ${String(data['uid'])}${data['euid'] === data['uid'] ? '' : `, effective ${String(data['euid'])}`}, gid ${String(data['gid'])}${event.reason === '' ? '' : `  ${paint('dim', visible(event.reason))}`}${failed}`;
    case 'system':
      return `${what(visible(event.name))} ${[visible(event.path), visible(event.reason), data['target'] === undefined ? '' : `process ${String(data['target'])}${note('target_name') === '' ? '' : ` (${note('target_name')})`}`].filter((text) => text !== '').join(' ')}${failed}`;
    case 'escape':
      return `${paint('yellow', 'escape'.padEnd(kindWidth))} ${paint('yellow', `through ${visible(event.reason)}`)}  ${visible(event.path)}${failed}`;
    case 'gap':
      return `${paint('red', 'gap'.padEnd(kindWidth))} ${paint('red', gapText(event.name, event.count, data['last_ms'] === undefined && data['signed'] === true))}${spanOf(event)}  ${paint('dim', visible(event.name))}`;
    case 'kernel':
      if (isLastRow(event.kind, event.name)) return `${what('recording')} ended: no process of the session is left`;
      return `${what('recording')} ${Array.isArray(data['classes']) ? visible(data['classes'].join(', ')) : ''}`;
    case 'fork':
      return `${what('fork')} process ${String(data['child'])}`;
    default:
      return `${what(visible(event.kind))} ${visible(event.path)} ${visible(event.name)}${failed}`;
  }
}

/** A program and its arguments, without the word for it. */
export function execution(told: KernelEventInfo): string {
  const event = harmless(told) as KernelEventInfo;
  const { out, env } = standardOutput;
  const paint = (style: Parameters<typeof styled>[2], text: string): string => styled(out, env, style, text);
  const { data } = event;
  const note = (name: string): string => (typeof data[name] === 'string' ? visible(data[name]) : '');
  const marks = [
    ...(data['memory'] === true ? ['from memory'] : []),
    ...(data['deleted'] === true ? ['deleted file'] : []),
    ...(data['bits'] === 32 ? ['32 bits'] : []),
    ...(data['argv_cut'] === true ? [`arguments cut, ${bytes(Number(data['argv_bytes']))} in all`] : []),
    ...(typeof data['euid'] === 'number' ? [`as uid ${data['euid']}`] : []),
    ...(typeof data['container'] === 'string' ? [`container ${note('container').slice(0, 12)}`] : []),
    ...(event.reason === '' ? [] : [visible(event.reason)]),
    ...(data['sha256_unconfirmed'] === true ? ['its digest may be of other bytes than ran'] : []),
  ];
  const asked = typeof data['asked'] === 'string' ? ` ${paint('dim', `for ${note('asked')}`)}` : '';
  return `${paint('bold', visible(commandLine(event)))}  ${paint('dim', visible(event.path))}${asked}${marks.length === 0 ? '' : `  ${paint('yellow', marks.join(', '))}`}`;
}

/** The arguments as a shell would take them. */
export function commandLine(event: KernelEventInfo): string {
  const argv = event.data['argv'];
  if (!Array.isArray(argv)) return event.name;
  return argv
    .map((argument) => (/^[\w@%+=:,./-]+$/.test(String(argument)) ? String(argument) : `'${String(argument).replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
