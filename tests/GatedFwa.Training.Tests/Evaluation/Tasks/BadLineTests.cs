using GatedFwa.Testing;
using GatedFwa.Training.Evaluation.Tasks;

namespace GatedFwa.Training.Tests.Evaluation.Tasks;

/// <summary>What is wrong with a task's file is one sentence with file, line and field.</summary>
public sealed class BadLineTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("""{"goal":"g","sol1":"a","label":0}""", "the field \"sol2\" is missing")]
    [InlineData("""{"goal":7,"sol1":"a","sol2":"b","label":0}""", "the field \"goal\" is 7 where a text in quotation marks is expected")]
    [InlineData(
        """{"goal":"g","sol1":"a","sol2":"b","label":2}""",
        "the field \"label\" is 2 where the number of an answer, 0 to 1, is expected")]
    [InlineData("""{"goal":"g","sol1":"a","sol2":"b","label":"x"}""", "the field \"label\" is the text \"x\" where")]
    [InlineData("""{"goal":"g","sol1":"a","sol2":"b","label":-1}""", "the field \"label\" is -1 where")]
    [InlineData("""{"goal":"g","sol1":"a","sol2":"b","label":null}""", "the field \"label\" is null where")]
    [InlineData("""["goal"]""", "is a list where an object { … } is expected")]
    [InlineData("""{"goal":"g" """, "is not valid JSON")]
    [InlineData("""{"goal":"g","goal":"h"}""", "is not valid JSON")]
    public void Each_mistake_names_file_line_and_field(string line, string problem)
    {
        string good = """{"goal":"g","sol1":"a","sol2":"b","label":0}""";
        string path = _folder.Write("piqa.jsonl", $"{good}\n\n{line}\n{good}\n");
        string message = Assert.Throws<InputException>(() => EvaluationTask.Parse("piqa").Prepare(new() { Files = [path] })).Message;
        Assert.StartsWith($"\"{path[..Math.Min(path.Length, 80)]}", message, StringComparison.Ordinal);
        Assert.Contains("line 3", message, StringComparison.Ordinal);
        Assert.Contains(problem, message, StringComparison.Ordinal);
        Assert.Matches("; correct (it|the line)\\.$", message);
    }

    [Theory]
    [InlineData("""{"question":"q","answerKey":"A","choices":"x"}""", "\"choices\" is the text \"x\"")]
    [InlineData("""{"question":"q","answerKey":"A","choices":{"text":["a","b"]}}""", "\"choices.label\" is missing")]
    [InlineData("""{"question":"q","answerKey":"A","choices":{"text":["a",4],"label":["A","B"]}}""", "\"choices.text[1]\" is 4")]
    [InlineData(
        """{"question":"q","answerKey":"A","choices":{"text":["a","b"],"label":["A"]}}""",
        "\"choices.label\" has 1 entries where \"text\" has 2")]
    [InlineData(
        """{"question":"q","answerKey":"A","choices":{"text":["a","b"],"label":["B","C"]}}""",
        "\"answerKey\" is none of the labels B, C")]
    public void Nested_fields_are_named_with_their_way(string line, string problem) =>
        Assert.Contains(problem, Lines.Refusal(line, Arc.Read), StringComparison.Ordinal);

    [Fact]
    public void Tasks_name_what_they_alone_need()
    {
        Assert.Contains(
            "no gap",
            Lines.Refusal("""{"sentence":"x","option1":"a","option2":"b","answer":"1"}""", WinoGrande.Read),
            StringComparison.Ordinal);
        Assert.Contains(
            "1 to 2",
            Lines.Refusal("""{"sentence":"x _","option1":"a","option2":"b","answer":"0"}""", WinoGrande.Read),
            StringComparison.Ordinal);
        Assert.Contains("neither", Lines.Refusal("""{"question":"why"}""", Copa.Read), StringComparison.Ordinal);
        Assert.Contains("\"page\" is empty", Lines.Refusal("""{"page":""}""", WikiText.Read), StringComparison.Ordinal);
        Assert.Contains(
            "\"endings\" has 1 entries where at least 2",
            Lines.Refusal("""{"activity_label":"a","ctx_a":"b","ctx_b":"c","endings":["d"],"label":0}""", HellaSwag.Read),
            StringComparison.Ordinal);
    }

    [Fact]
    public void Files_without_lines_without_UTF8_and_no_files_at_all_are_refused()
    {
        string Refusal(params string[] files) =>
            Assert.Throws<InputException>(() => EvaluationTask.Parse("lambada").Prepare(new() { Files = files })).Message;
        string good = _folder.Write("good.jsonl", """{"text":"a b"}""");
        Assert.Contains("holds no line", Refusal(good, _folder.Write("empty.jsonl", "\n \n")), StringComparison.Ordinal);
        Assert.Contains("UTF-8", Refusal(_folder.Write("latin.jsonl", [(byte)'{', 0xE9, (byte)'}'])), StringComparison.Ordinal);
        Assert.Contains("There is no file", Refusal(_folder["none.jsonl"]), StringComparison.Ordinal);
        Assert.Contains("needs its examples", Refusal(), StringComparison.Ordinal);
    }

    [Fact]
    public void Lines_of_several_files_follow_each_other()
    {
        string first = _folder.Write("1.jsonl", [0xEF, 0xBB, 0xBF, .. "{\"text\":\"a b\"}\r\n"u8]);
        string second = _folder.Write("2.jsonl", "{\"text\":\"c d\"}\n");
        Assert.Equal(
            [new Continuation("a", " b"), new Continuation("c", " d")],
            JsonLines.Read([first, second], Lambada.Read));
    }

    [Fact]
    public void An_unknown_task_gets_the_name_that_was_meant() =>
        Assert.Contains(
            "did you mean \"hellaswag\"?",
            Assert.Throws<InputException>(() => EvaluationTask.Parse("helaswag")).Message,
            StringComparison.Ordinal);
}
