namespace GatedFwa.Cli;

/// <summary>How this program is called here, for lines that can be copied.</summary>
internal static class Invocation
{
    private const string Project = "src/GatedFwa.Cli";

    /// <summary><c>gatedfwa</c> where it is installed; in a clone of the sources what runs it there.</summary>
    public static string Name { get; } =
        Path.GetFileNameWithoutExtension(Environment.ProcessPath) != "gatedfwa" && Directory.Exists(Project)
            ? $"dotnet run -c Release --project {Project} --"
            : "gatedfwa";
}
