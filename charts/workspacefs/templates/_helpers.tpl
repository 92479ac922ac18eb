{{/* Labels of every object. Call with (dict "root" $ "component" "node"). */}}
{{- define "workspacefs.labels" -}}
{{ include "workspacefs.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The labels that select a component's pods. They never change: a selector is immutable. */}}
{{- define "workspacefs.selector" -}}
app.kubernetes.io/name: workspacefs
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The operator's configuration file. */}}
{{- define "workspacefs.config" -}}
workspaceSelector: {{ .Values.workspaceSelector | quote }}
nodeGroupLabel: {{ .Values.nodeGroupLabel | quote }}
probeIntervalSeconds: {{ .Values.probe.intervalSeconds }}
probeTimeoutSeconds: {{ .Values.probe.timeoutSeconds }}
{{- with .Values.defaultFileSystem }}
defaultFileSystem:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
