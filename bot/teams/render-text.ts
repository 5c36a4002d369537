import type { Card } from '../card.ts';
import type { AdaptiveCard } from './activity.ts';
import { type CardView, renderCard } from './render-card.ts';

type Node = Readonly<Record<string, unknown>>;

/** What a person reads in Teams, as text: line by line, cells apart by two spaces, buttons in brackets. */
export function renderTeamsText(card: Card, view: CardView = { commandPrefix: '@DR ' }): string {
  return textOfAdaptiveCard(renderCard(card, view));
}

/** The same for any card of ours, such as one that a person got as their own view. */
export function textOfAdaptiveCard(card: AdaptiveCard): string {
  const buttons = nodesIn(card.actions).map((action) => `[${String(action.title)}]`);
  return [...nodesIn(card.body).flatMap(linesOf), ...(buttons.length === 0 ? [] : [buttons.join(' ')])].join('\n');
}

function linesOf(node: Node): string[] {
  switch (node.type) {
    case 'TextBlock':
      return [String(node.text).replace(/<at>([^<]*)<\/at>/g, '@$1')];
    case 'RichTextBlock':
      return [nodesIn(node.inlines).map(textOfRun).join('')];
    case 'Container':
      return nodesIn(node.items).flatMap(linesOf);
    case 'ColumnSet':
      return [nodesIn(node.columns).map(textOfBox).join('  ')];
    case 'Table':
      return nodesIn(node.rows).map((row) => nodesIn(row.cells).map(textOfBox).join('  '));
    case 'Image':
      return [`[picture: ${String(node.altText)}]`];
    case 'Input.Text':
      return [`${String(node.label)}: ${String(node.value ?? '')}____`];
    case 'Input.ChoiceSet':
      return [
        `${String(node.label)}: ${nodesIn(node.choices)
          .map((choice) => `( ) ${String(choice.title)}`)
          .join(' ')}`,
      ];
    default:
      return [];
  }
}

function textOfBox(node: Node): string {
  return nodesIn(node.items).flatMap(linesOf).join(' ');
}

function textOfRun(run: Node): string {
  return String(run.text).replaceAll('\u2060', '');
}

function nodesIn(value: unknown): Node[] {
  return Array.isArray(value) ? value.filter((item): item is Node => typeof item === 'object' && item !== null) : [];
}
