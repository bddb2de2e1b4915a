/** Links, paths and scripts that documents name exist, and so do the files and names in the walks of CONTRIBUTING.md. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;
const pages = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.md'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
const textOf = (page: string): string => readFileSync(join(root, page), 'utf8');
const scripts = (JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }).scripts;

/** Anchors of headings, as GitHub makes them. */
function anchorsOf(text: string): Set<string> {
  return new Set(
    [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replace(/\s/g, '-'),
    ),
  );
}

describe('documents', () => {
  it('link to files and headings that exist', () => {
    const broken = pages.flatMap((page) =>
      [
        ...textOf(page)
          .replace(/```[\s\S]*?```/g, '')
          .matchAll(/\]\(([^)\s]+)\)/g),
      ].flatMap(([, target = '']) => {
        if (/^[a-z]+:/.test(target)) return [];
        const [path = '', anchor] = target.split('#');
        const file = path === '' ? page : normalize(join(dirname(page), decodeURIComponent(path)));
        if (!existsSync(join(root, file))) return [`${page}: ${target}`];
        return anchor === undefined || !file.endsWith('.md') || anchorsOf(textOf(file)).has(anchor) ? [] : [`${page}: ${target}`];
      }),
    );
    expect(broken).toEqual([]);
  });

  it('name files that exist where they give a path of this repository', () => {
    const folders = new Set(pages.concat('agent/', 'gateway/').map((page) => page.split('/')[0]!));
    const missing = ['ARCHITECTURE.md', 'CONTRIBUTING.md', 'README.md'].flatMap((page) =>
      [...textOf(page).matchAll(/`([\w.-]+\/[\w./-]+)`/g)].flatMap(([, path = '']) =>
        folders.has(path.split('/')[0]!) && !existsSync(join(root, path)) ? [`${page}: ${path}`] : [],
      ),
    );
    expect(missing).toEqual([]);
  });

  it('name scripts that package.json has', () => {
    const missing = pages.flatMap((page) =>
      [...textOf(page).matchAll(/npm run (?:--silent )?([\w:-]+)/g)].flatMap(([, script = '']) =>
        Object.hasOwn(scripts, script) ? [] : [`${page}: npm run ${script}`],
      ),
    );
    expect(missing).toEqual([]);
  });
});

describe('the walks of CONTRIBUTING.md', () => {
  const rows = [...textOf('CONTRIBUTING.md').matchAll(/^\| `([^`]+)` \| `([^`]+)` \|/gm)].map(
    ([, file = '', name = '']) => [file, name] as const,
  );

  it('exist', () => expect(rows.length).toBeGreaterThan(20));

  it.each(rows)('%s has %s', (file, name) => {
    expect(existsSync(join(root, file)) ? textOf(file) : 'no such file').toContain(name);
  });
});
