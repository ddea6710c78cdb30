namespace GatedFwa.Training.Comparisons;

/// <summary>A column of the table of mixers.</summary>
/// <param name="Heading">What the figures are, and their unit.</param>
/// <param name="Cell">The figure of a mixer, in words.</param>
/// <param name="IsDetail">Whether it is left out where there is room for the essential only: in a terminal.</param>
internal sealed record ComparisonColumn(string Heading, Func<ComparisonRow, string> Cell, bool IsDetail = false);
