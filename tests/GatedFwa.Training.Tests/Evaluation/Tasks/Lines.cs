using System.Text;
using GatedFwa.Checkpoints;
using GatedFwa.Training.Evaluation.Tasks;

namespace GatedFwa.Training.Tests.Evaluation.Tasks;

/// <summary>Lines of task files that are texts of a test.</summary>
internal static class Lines
{
    public static T Read<T>(string json, Func<TaskLine, T> read) =>
        StrictJson.Line(Encoding.UTF8.GetBytes(json), "line", root => read(new TaskLine(root, "line")));

    public static string Refusal<T>(string json, Func<TaskLine, T> read) => Assert.Throws<InputException>(() => Read(json, read)).Message;
}
