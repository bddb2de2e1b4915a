/** The head of a page that belongs to a section: its title, and links to the other pages of the section, the same on each. */
import type { ReactNode } from 'react';
import { Link } from 'wouter';

export type Section = readonly [to: string, name: string];

/** `here`: the address of this page in the section. `children` stand between the title and the links. */
export function SectionHead({
  title,
  here,
  sections,
  children,
}: {
  readonly title: string;
  readonly here: string;
  readonly sections: readonly Section[];
  readonly children?: ReactNode;
}): ReactNode {
  return (
    <div className="page-head">
      <h1>{title}</h1>
      {children}
      <nav className="section-nav" aria-label="Pages on this subject">
        {sections.map(([to, name]) => (
          <Link key={to} to={to} aria-current={to === here ? 'page' : undefined}>
            {name}
          </Link>
        ))}
      </nav>
    </div>
  );
}

export const findingSections = (audit: boolean): readonly Section[] => [
  ['/findings', 'Findings'],
  ...(audit ? ([['/findings/response', 'Response']] as const) : []),
  ['/patterns', 'Patterns'],
  ['/rules', 'Rules'],
];

export const auditSections: readonly Section[] = [
  ['/audit', 'Audit log'],
  ['/audit/views', 'Who viewed what'],
  ['/audit/siem', 'Sent to a SIEM'],
];
