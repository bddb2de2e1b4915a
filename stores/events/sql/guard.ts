/**
 * Users' own SQL: checked to be a plain read, then run within limits.
 *
 * The engine's read-only mode alone is not enough: in it `file('/etc/passwd')` reads, INTO OUTFILE writes and
 * table functions reach the network. Therefore queries are checked against an allow-list, using the engine's own parser:
 *   1. the engine prints the statement back: one statement, without comments, in canonical form
 *   2. the engine prints its syntax tree, wrapped as a subquery, where INTO OUTFILE and FORMAT are not allowed
 *   3. every node is of a kind listed here, every table one of ours, every function of an allowed category
 *   4. the printed form, not the typed text, runs, again as a subquery, after the views that it names, read-only and within the
 *      limits, each table with the user's filter
 *
 * Tested in `stores/events/conformance.ts` and people-sql.test.ts.
 */
import { availableParallelism } from 'node:os';
import { StenoError } from '#schemas/base/errors.js';
import type { RunningQuery, SqlLimits, SqlResult, SqlScope } from '../contract.js';
import type { Engine } from '../engine/engine.js';
import { sqlError } from '../engine/failures.js';
import { literal, scopeSettings } from '../queries/visible.js';
import { readableTables, withViews } from './views.js';

const maximumLength = 20_000;
const maximumNodes = 5_000;
const maximumMemory = 2_000_000_000;

/** Threads of one query: leaves cores for inserts and for Steno's own reads. */
const maximumThreads = Math.max(1, Math.floor(availableParallelism() / 2));

/** ClickHouse `src/Parsers/AST*.h`, by the name each node prints. */
const nodes = new Set([
  'SelectWithUnionQuery',
  'SelectIntersectExceptQuery',
  'SelectQuery',
  'ExpressionList',
  'Subquery',
  'WithElement',
  'TablesInSelectQuery',
  'TablesInSelectQueryElement',
  'TableExpression',
  'TableIdentifier',
  'TableJoin',
  'ArrayJoin',
  'Function',
  'Identifier',
  'Literal',
  'Asterisk',
  'QualifiedAsterisk',
  'OrderByElement',
  'WindowDefinition',
  'WindowListElement',
]);

const categories = new Set([
  'Aggregate Functions',
  'Window Functions',
  'Arithmetic',
  'Arrays',
  'Bit',
  'Comparison',
  'Conditional',
  'Dates and Times',
  'Encoding',
  'Hash',
  'IP Address',
  'JSON',
  'Logical',
  'Map',
  'Mathematical',
  'Null',
  'Rounding',
  'String',
  'String Replacement',
  'String Search',
  'String Splitting',
  'Time Window',
  'Tuple',
  'Type Conversion',
  'URL',
  'UUID',
  'Distance',
]);

/** Useful functions without a category, including the parser's internal names. */
const furtherFunctions = [
  'lambda',
  'exists',
  'cast',
  '_cast',
  'totypename',
  'transform',
  'identity',
  'bar',
  'materialize',
  'ignore',
  'formatreadablesize',
  'formatreadablequantity',
  'formatreadabletimedelta',
  'finalizeaggregation',
  'rownumberinallblocks',
];
/** Functions in an allowed category that reveal something about the engine. */
const refusedFunctions = ['chdb', 'naivebayesngrams', 'servertimezone'];

interface Node {
  readonly kind: string;
  readonly label: string;
  readonly children: Node[];
}

interface Found {
  readonly functions: ReadonlySet<string>;
  readonly hidden: ReadonlySet<string>;
  /** Tables that the query names. */
  readonly tables: Set<string>;
}

export class SqlGuard {
  readonly #engine: Engine;
  #functions: Promise<ReadonlySet<string>> | undefined;
  #combinators: readonly string[] = [];

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async run(sql: string, limits: SqlLimits, scope?: SqlScope, running?: RunningQuery): Promise<SqlResult> {
    if (sql.length > maximumLength) throw new StenoError('QUERY_REFUSED', `longer than ${maximumLength} characters`);
    const filters = scope === undefined ? '' : scopeSettings(this.#engine.database, scope);
    try {
      const { printed, tables } = await this.#check(sql);
      const { sample } = limits;
      const asked = sample === undefined ? printed : sampled(printed, sample);
      const { meta, data } = await this.#engine.readChecked(
        `${withViews(tables, scope === undefined ? null : this.#engine)}SELECT * FROM (${asked}) LIMIT ${limits.maxRows + 1} SETTINGS readonly = 1, final = 1, ` +
          `max_execution_time = ${limits.maxSeconds}, max_memory_usage = ${maximumMemory}, max_result_bytes = 100000000, max_threads = ${maximumThreads}, log_comment = 'steno sql${running === undefined ? '' : ` ${running.mark}`}', ${filters}` +
          'output_format_json_quote_64bit_integers = 1',
        running,
      );
      const wide = meta.map(({ type }) => /^(Nullable\()?U?Int64\)?$/.test(type));
      const rows = data.slice(0, limits.maxRows).map((row) => row.map((value, i) => (wide[i] === true ? narrow(value) : value)));
      const columns = meta.map(({ name, type }) => ({ name, type }));
      if (sample === undefined) return { columns, rows, truncated: data.length > limits.maxRows, population: null };
      return {
        columns: columns.slice(0, -1),
        rows: rows.map((row) => row.slice(0, -1)),
        truncated: data.length > limits.maxRows,
        population: Number(rows[0]?.at(-1) ?? 0),
      };
    } catch (error) {
      throw sqlError(error, filters !== '');
    }
  }

  async #check(sql: string): Promise<{ readonly printed: string; readonly tables: ReadonlySet<string> }> {
    const [row] = await this.#engine.read('SELECT formatQuerySingleLine({sql:String})', { sql });
    const printed = String(row?.[0]);
    checkTokens(printed);
    const explained = await this.#engine.readChecked(`SELECT explain FROM (EXPLAIN AST SELECT * FROM (${printed}))`);
    const root = parseTree(explained.data.map(([line]) => String(line)));
    const found: Found = { functions: await this.#allowedFunctions(), hidden: await this.#hiddenTables(), tables: new Set() };
    this.#checkNode(root, undefined, found);
    return { printed, tables: found.tables };
  }

  #checkNode(node: Node, parent: Node | undefined, found: Found): void {
    if (!nodes.has(node.kind)) throw refused(`${node.kind} is not allowed`);
    switch (node.kind) {
      case 'TableIdentifier':
        // A name without a dot can only be one of Steno's tables or a common table expression.
        if (!/^\w+$/.test(node.label) || found.hidden.has(node.label))
          throw refused(`the table ${node.label} is not one of ${[...readableTables].join(', ')}`);
        found.tables.add(node.label);
        break;
      case 'Function':
        if (parent?.kind === 'TableExpression') throw refused(`the table function ${node.label} is not allowed`);
        if (!this.#allows(found.functions, node.label.toLowerCase())) throw refused(`the function ${node.label} is not allowed`);
        if (
          /in(ignoreset)?$/i.test(node.label) &&
          node.children[0]?.children[1]?.kind === 'Identifier' &&
          (node.children[0].children[1].label.includes('.') || found.hidden.has(node.children[0].children[1].label))
        ) {
          throw refused('the right side of IN is not a list or a subquery');
        }
        break;
      default:
        break;
    }
    for (const child of node.children) this.#checkNode(child, node, found);
  }

  #allows(functions: ReadonlySet<string>, name: string): boolean {
    if (functions.has(name)) return true;
    const combinator = this.#combinators.find((suffix) => name.endsWith(suffix) && name.length > suffix.length);
    return combinator !== undefined && this.#allows(functions, name.slice(0, -combinator.length));
  }

  /** Steno's internal tables, such as the list of migrations. */
  async #hiddenTables(): Promise<ReadonlySet<string>> {
    const rows = await this.#engine.read(`SELECT name FROM system.tables WHERE database = ${literal(this.#engine.database)}`, {});
    return new Set(rows.map(([name]) => String(name)).filter((name) => !readableTables.has(name)));
  }

  #allowedFunctions(): Promise<ReadonlySet<string>> {
    this.#functions ??= this.#loadFunctions().catch((error: unknown) => {
      this.#functions = undefined;
      throw error;
    });
    return this.#functions;
  }

  async #loadFunctions(): Promise<ReadonlySet<string>> {
    const combinators = await this.#engine.read('SELECT lower(name) FROM system.aggregate_function_combinators', {});
    this.#combinators = combinators.map(([name]) => String(name)).sort((a, b) => b.length - a.length);
    const rows = await this.#engine.read(
      "SELECT lower(name), lower(alias_to), categories FROM system.functions WHERE origin = 'System'",
      {},
    );
    const allowed = new Set<string>(furtherFunctions);
    for (const [name, , category] of rows) if (categories.has(String(category))) allowed.add(String(name));
    for (const [name, original] of rows) if (original !== '' && allowed.has(String(original))) allowed.add(String(name));
    for (const name of refusedFunctions) allowed.delete(name);
    return allowed;
  }
}

/**
 * Names in backquotes may contain any characters, and the tree prints them without quotes: a name with newlines could forge
 * a tree. Such names are refused before the tree is read. Strings are skipped, since the tree prints them escaped.
 * PREWHERE, which the tree does not distinguish from WHERE, would see rows before the user's filter.
 */
function checkTokens(printed: string): void {
  const quoted = /'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`/gs;
  for (const [token] of printed.matchAll(quoted)) {
    if (token.startsWith('`') && !/^`[\w .:%+-]*`$/.test(token))
      throw refused('a quoted name may hold letters, digits, blanks and .:%+-_ only');
  }
  if (/\bPREWHERE\b/i.test(printed.replace(quoted, "''"))) throw refused('PREWHERE is not allowed; write WHERE');
}

/** The last column holds the number of rows from which the sample is drawn. */
function sampled(sql: string, { size, seed }: { readonly size: number; readonly seed: string }): string {
  const place = `SHA256(concat(${literal(`${seed}\n`)}, toJSONString(tuple(*))))`;
  return `SELECT *, count() OVER () AS steno_population FROM (${sql}) ORDER BY ${place} LIMIT ${size}`;
}

/** Parses one node per line, indented by one blank per level. */
function parseTree(lines: readonly string[]): Node {
  if (lines.length > maximumNodes) throw refused('the query is too long');
  const path: Node[] = [];
  let root: Node | undefined;
  for (const line of lines) {
    const match = /^( *)([A-Za-z]+)(.*)$/s.exec(line);
    if (match === null) throw refused('the query cannot be examined');
    const depth = match[1]!.length;
    const label = match[3]!
      .replace(/ \(children \d+\)$/, '')
      .replace(/ \(alias .*\)$/s, '')
      .trim();
    const node: Node = { kind: match[2]!, label, children: [] };
    if (depth > path.length || (depth === 0 && root !== undefined)) throw refused('the query cannot be examined');
    path.length = depth;
    path.at(-1)?.children.push(node);
    path.push(node);
    root ??= node;
  }
  if (root === undefined) throw refused('the query cannot be examined');
  return root;
}

function narrow(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function refused(detail: string): StenoError {
  return new StenoError('QUERY_REFUSED', detail);
}
