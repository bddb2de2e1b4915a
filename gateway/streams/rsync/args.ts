/**
 * Parses the command line of rsync's far end (`rsync --server [--sender] -vlogDtpre.iLsfxCIvu . PATH...`) for options that
 * change the format of the stream (options.c, `server_options`), and for the paths.
 */
import { baseName } from '../observing/command.js';

export interface RsyncArgs {
  /** The node sends, the client receives. */
  readonly sender: boolean;
  /** Letters of the short options, without the value of `e`. */
  readonly letters: ReadonlySet<string>;
  /** Long options, with their values. */
  readonly long: ReadonlyMap<string, string>;
  readonly paths: readonly string[];
}

/** Long options whose value is the next word. */
const valued = new Set(['--backup-dir', '--partial-dir', '--temp-dir', '--compare-dest', '--copy-dest', '--link-dest', '--files-from']);

/** `null` if these are not the arguments of a far end. */
export function parseRsyncArgs(args: readonly string[]): RsyncArgs | null {
  if (args[0] !== '--server') return null;
  const letters = new Set<string>();
  const long = new Map<string, string>();
  const paths: string[] = [];
  let at = 1;
  for (; at < args.length && args[at]!.startsWith('-') && args[at] !== '-'; at++) {
    const arg = args[at]!;
    if (arg === '--') {
      at++;
      break;
    }
    if (arg.startsWith('--')) {
      const equals = arg.indexOf('=');
      if (equals > 0) long.set(arg.slice(0, equals), arg.slice(equals + 1));
      else long.set(arg, valued.has(arg) ? (args[++at] ?? '') : '');
      continue;
    }
    for (const letter of arg.slice(1)) {
      // The rest of the word is the option's value: for `e`, the client's version and capabilities.
      if ('eB@MTf'.includes(letter)) break;
      letters.add(letter);
    }
  }
  // The first path is a dot that marks the end of the options.
  for (const path of args.slice(at + 1)) paths.push(path === '' ? '.' : path);
  return { sender: long.has('--sender'), letters, long, paths };
}

export interface Place {
  readonly path: string;
  readonly note?: string;
}

/** Maps names of a file list to paths on the node. The mapping is computed once and used for every file. */
export class Places {
  private readonly args: RsyncArgs;
  /** The folder that contains all names of the list, if there is a single one. */
  private readonly base: string | undefined;
  /** For names from several folders: the sources by the first component of their names. */
  private readonly owners: ReadonlyMap<string, readonly string[]>;

  constructor(args: RsyncArgs) {
    this.args = args;
    const sources = args.paths.length === 0 ? ['.'] : args.paths;
    const owners = new Map<string, string[]>();
    this.owners = owners;
    if (!args.sender) return;
    if (args.long.has('--files-from')) {
      // Names are below the single source, unless they are cut to their last component.
      if (!args.long.has('--no-relative')) this.base = sources[0]!;
      return;
    }
    const bases = new Set(sources.map(args.letters.has('R') ? relativeBase : folderOf));
    if (bases.size === 1) this.base = [...bases][0]!;
    // A source that ends in a slash adds its content to the top level, so any name may come from it.
    if (args.letters.has('R') || sources.some(endsInFolder)) return;
    for (const source of sources) {
      const same = owners.get(baseName(source));
      if (same === undefined) owners.set(baseName(source), [source]);
      else same.push(source);
    }
  }

  /** `alone`: the list has no other entry, so the target may be the file itself. */
  of(name: string, alone: boolean): Place {
    const { args, base } = this;
    if (!args.sender) return placeBelowTarget(args.paths[0] ?? '.', name, alone);
    if (base !== undefined) return { path: join(base, name) };
    const owners = this.owners.get(name.split('/', 1)[0]!);
    if (owners?.length === 1) return { path: join(folderOf(owners[0]!), name) };
    return { path: name, note: `of ${args.paths.join(' ').slice(0, 200)}` };
  }
}

function placeBelowTarget(target: string, name: string, alone: boolean): Place {
  if (!alone || /(^|\/)\.{0,2}$/.test(target)) return { path: join(target, name.replace(/^\/+/, '')) };
  return { path: target, note: `sent as ${name}: below the path if that is a directory` };
}

function endsInFolder(source: string): boolean {
  return /(^|\/)\.{0,2}$/.test(source);
}

/** The folder that contains the names of a source: the source itself if it ends in a slash. */
function folderOf(source: string): string {
  return endsInFolder(source) ? source : source.slice(0, source.lastIndexOf('/') + 1);
}

/** With --relative, names are complete paths, from the root or from `/./`. */
function relativeBase(source: string): string {
  const mark = source.indexOf('/./');
  if (mark >= 0) return source.slice(0, mark + 1);
  return source.startsWith('/') ? '/' : '';
}

function join(folder: string, name: string): string {
  if (name === '.') return folder;
  if (name.startsWith('/')) return name;
  if (folder === '' || folder === '.' || folder === './') return name;
  return folder.endsWith('/') ? folder + name : `${folder}/${name}`;
}
