using System.Reflection;
using System.Runtime.CompilerServices;

namespace GatedFwa.Training.Tests.PublicApi;

/// <summary>
/// The public surface is a promise, so a change of it must be seen: it shows as a change of the text files beside this test.
/// Run once with <c>GATEDFWA_UPDATE_API=1</c> to write them anew, and read the difference.
/// </summary>
public sealed class PublicApiTests
{
    [Theory]
    [InlineData("GatedFwa.Tensors")]
    [InlineData("GatedFwa")]
    [InlineData("GatedFwa.Training")]
    public void The_public_surface_is_what_was_reviewed(string assembly)
    {
        string actual = PublicSurface.Describe(Assembly.Load(assembly));
        string path = Path.Combine(Folder(), assembly + ".txt");
        if (Environment.GetEnvironmentVariable("GATEDFWA_UPDATE_API") == "1") File.WriteAllText(path, actual);
        string[] reviewed = File.ReadAllLines(path), now = actual.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.True(reviewed.SequenceEqual(now), $"New or changed:\n{string.Join('\n', now.Except(reviewed))}\nGone:\n{string.Join('\n', reviewed.Except(now))}");
    }

    private static string Folder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
