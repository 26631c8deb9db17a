// What a dashboard's JSON must be: Grafana's own types, with the open ends (options, targets, custom field
// settings, all `Record<string, unknown>` there) closed by the types of each panel plugin.
import type { DashboardLink, DataSourceRef, VariableModel } from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as statetimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as raw from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';

// A type as JSON writes it: each enum is its bare values.
type Json<T> = unknown extends T
  ? T
  : T extends string
    ? `${T}`
    : T extends number
      ? `${T}` extends `${infer N extends number}`
        ? N
        : T
      : T extends object
        ? { [K in keyof T]: Json<T[K]> }
        : T;

// Plugins fill in what is left out, so panels may leave out any of their own settings.
type Some<T> = T extends readonly (infer E)[] ? Some<E>[] : T extends object ? { [K in keyof T]?: Some<T[K]> } : T;

// Query of Grafana's Prometheus data source (PromQuery in @grafana/prometheus 13.2.3).
interface PrometheusQuery {
  refId: string;
  expr: string;
  datasource: DataSourceRef;
  legendFormat: string;
  format: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  range?: boolean;
  exemplar?: boolean;
}

interface DataLink {
  title: string;
  url: string;
  targetBlank: boolean;
}

// Settings of a field by the id that an override gives them.
interface Properties<Custom> {
  color: raw.FieldColor;
  decimals: number;
  displayName: string;
  links: DataLink[];
  mappings: raw.ValueMapping[];
  max: number;
  min: number;
  noValue: string;
  thresholds: raw.ThresholdsConfig;
  unit: string;
  'custom.align': Custom extends { align?: infer A } ? A : never;
  'custom.cellOptions': Custom extends { cellOptions: infer C } ? C : never;
  'custom.fillOpacity': Custom extends { fillOpacity?: infer F } ? F : never;
  'custom.filterable': boolean;
  'custom.hidden': boolean; // hideFrom.viz up to Grafana 12.1
  'custom.hideFrom.viz': boolean;
  'custom.lineStyle': Custom extends { lineStyle?: infer S } ? S : never;
  'custom.lineWidth': Custom extends { lineWidth?: infer W } ? W : never;
  'custom.minWidth': number;
  'custom.stacking': Custom extends { stacking?: infer S } ? S : never;
  'custom.width': number;
}

type Property<Custom> = {
  [Id in keyof Properties<Custom>]: { id: Id; value: Properties<Custom>[Id] };
}[keyof Properties<Custom>];

interface Override<Custom> {
  matcher: { id: 'byName' | 'byRegexp'; options: string };
  properties: Property<Custom>[];
}

interface FieldConfig<Custom> extends Omit<raw.FieldConfig, 'custom' | 'links'> {
  noValue: string;
  unit: string;
  thresholds: raw.ThresholdsConfig;
  custom?: Some<Custom>;
  links?: DataLink[];
}

interface Merge {
  id: 'merge';
  options: Record<string, never>;
}

interface Organize {
  id: 'organize';
  options: {
    excludeByName: Record<string, true>;
    indexByName: Record<string, number>;
    renameByName: Record<string, string>;
  };
}

interface SortBy {
  id: 'sortBy';
  options: { fields: Record<string, never>; sort: { field: string; desc: boolean }[] };
}

interface PanelOf<Type extends string, Options, Custom>
  extends Omit<raw.Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'transformations' | 'links'> {
  type: Type;
  id: number;
  title: string;
  description: string;
  gridPos: raw.GridPos;
  datasource: DataSourceRef;
  options: Some<Options>;
  fieldConfig: { defaults: FieldConfig<Custom>; overrides: Override<Custom>[] };
  targets: PrometheusQuery[];
  transformations?: (Merge | Organize | SortBy)[];
  links?: DashboardLink[];
}

type Panel =
  | PanelOf<'bargauge', bargauge.Options, Record<string, never>>
  | PanelOf<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | PanelOf<'stat', stat.Options, Record<string, never>>
  | PanelOf<'state-timeline', statetimeline.Options, statetimeline.FieldConfig>
  | PanelOf<'table', table.Options, table.FieldConfig>
  | PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>;

interface Row extends Omit<raw.RowPanel, 'panels'> {
  panels: Panel[]; // of a folded row
}

// With the keys of the Prometheus data source, which the schema leaves open.
interface Annotation extends Omit<raw.AnnotationQuery, 'target'> {
  target: { expr: string; refId: string; interval: string };
  titleFormat: string;
  textFormat: string;
  useValueForTime: boolean;
}

interface Variable extends Omit<VariableModel, 'datasource'> {
  datasource?: DataSourceRef;
}

interface Dashboard extends Omit<raw.Dashboard, 'panels' | 'annotations' | 'templating'> {
  uid: string;
  title: string;
  description: string;
  panels: (Panel | Row)[];
  annotations: { list: Annotation[] };
  templating: { list: Variable[] };
}

export type Board = Json<Dashboard>;
